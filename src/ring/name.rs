//! A socket address as the kernel reads and writes it: `sockaddr_in` or `sockaddr_in6`, in 28 bytes.
//!
//! `socket2::SockAddr` keeps 128 bytes for every family there is, which would be cleared and copied for each datagram.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes of the longer of the two.
pub(super) const NAME_BYTES: usize = size_of::<libc::sockaddr_in6>();
const V4_NAME_BYTES: usize = size_of::<libc::sockaddr_in>();

/// An address that the kernel is pointed to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    bytes: [u8; NAME_BYTES],
    len: libc::socklen_t,
}

/// Where things are: linux/in.h and linux/in6.h. Port and address are in network order, the rest in the host's.
mod field {
    use std::ops::Range;

    pub(super) const FAMILY: Range<usize> = 0..2;
    pub(super) const PORT: Range<usize> = 2..4;
    pub(super) const V4_ADDRESS: Range<usize> = 4..8;
    pub(super) const FLOW: Range<usize> = 4..8;
    pub(super) const V6_ADDRESS: Range<usize> = 8..24;
    pub(super) const SCOPE: Range<usize> = 24..28;
}

impl Name {
    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    pub(super) fn len(&self) -> libc::socklen_t {
        self.len
    }

    /// What the kernel wrote. `None` for another family than IPv4 and IPv6, or if it is cut.
    pub(super) fn read(bytes: &[u8]) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(array(bytes, field::PORT)?);
        match libc::c_int::from(u16::from_ne_bytes(array(bytes, field::FAMILY)?)) {
            libc::AF_INET => Some((Ipv4Addr::from(array::<4>(bytes, field::V4_ADDRESS)?), port).into()),
            libc::AF_INET6 => {
                let address = Ipv6Addr::from(array::<16>(bytes, field::V6_ADDRESS)?);
                let flow = u32::from_ne_bytes(array(bytes, field::FLOW)?);
                let scope = u32::from_ne_bytes(array(bytes, field::SCOPE)?);
                Some(SocketAddrV6::new(address, port, flow, scope).into())
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        let mut bytes = [0; NAME_BYTES];
        bytes[field::PORT].copy_from_slice(&address.port().to_be_bytes());
        let (family, len) = match address {
            SocketAddr::V4(address) => {
                bytes[field::V4_ADDRESS].copy_from_slice(&address.ip().octets());
                (libc::AF_INET, V4_NAME_BYTES)
            }
            SocketAddr::V6(address) => {
                bytes[field::FLOW].copy_from_slice(&address.flowinfo().to_ne_bytes());
                bytes[field::V6_ADDRESS].copy_from_slice(&address.ip().octets());
                bytes[field::SCOPE].copy_from_slice(&address.scope_id().to_ne_bytes());
                (libc::AF_INET6, NAME_BYTES)
            }
        };
        bytes[field::FAMILY].copy_from_slice(&u16::try_from(family).unwrap_or_default().to_ne_bytes());
        Name { bytes, len: libc::socklen_t::try_from(len).unwrap_or_default() }
    }
}

fn array<const N: usize>(bytes: &[u8], field: std::ops::Range<usize>) -> Option<[u8; N]> {
    bytes.get(field)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses() -> impl Strategy<Value = SocketAddr> {
        let v6 = any::<(u128, u16, u32, u32)>().prop_map(|(address, port, flow, scope)| {
            SocketAddr::from(SocketAddrV6::new(Ipv6Addr::from_bits(address), port, flow, scope))
        });
        let v4 = any::<(u32, u16)>().prop_map(|(address, port)| (Ipv4Addr::from_bits(address), port).into());
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn an_address_comes_back_as_it_was(address in addresses()) {
            let name = Name::from(address);
            prop_assert_eq!(Name::read(&name.bytes[..name.len as usize]), Some(address));
        }

        #[test]
        fn the_bytes_are_those_of_socket2(address in addresses()) {
            let (name, theirs) = (Name::from(address), socket2::SockAddr::from(address));
            prop_assert_eq!(name.len(), theirs.len());
            // SAFETY: `theirs` holds `len` initialised bytes and outlives the view.
            let theirs = unsafe { std::slice::from_raw_parts(theirs.as_ptr().cast::<u8>(), theirs.len() as usize) };
            prop_assert_eq!(&name.bytes[..name.len as usize], theirs);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Name::read(&bytes);
        }
    }

    #[test]
    fn a_cut_or_foreign_name_is_refused() {
        let v6 = Name::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 53)));
        let v4 = Name::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        assert_eq!(Name::read(&v6.bytes[..NAME_BYTES - 1]), None);
        assert_eq!(Name::read(&v4.bytes[..7]), None);
        assert_eq!(Name::read(&[]), None);
        let mut unix = v6.bytes;
        unix[field::FAMILY].copy_from_slice(&1_u16.to_ne_bytes());
        assert_eq!(Name::read(&unix), None);
    }
}
