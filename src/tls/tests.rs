//! Certificates made for tests, and what becomes of bad ones.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// PEM of a certificate and of its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A certificate for a name or an address that holds from 1970 until the end of this year, its own issuer.
pub(crate) fn pair(name: &str, last_year: i32) -> Pair {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(last_year, 12, 31);
    let key = KeyPair::generate().unwrap();
    Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn certificate(chain: &str, key: &str) -> Result<Certificate, Flaw> {
    Certificate::new(read_chain(chain.as_bytes())?, read_key(key.as_bytes())?)
}

#[test]
fn a_certificate_and_its_key_fit_and_equal_only_themselves() {
    let [one, other] = ["a.example", "10.0.0.1"].map(|name| pair(name, 2100));
    let read = certificate(&one.certificate, &one.key).unwrap();
    assert_eq!(read, certificate(&one.certificate, &one.key).unwrap());
    assert_ne!(read, certificate(&other.certificate, &other.key).unwrap());
    let chain = format!("{}\n# its issuer\n{}", one.certificate, other.certificate);
    assert_ne!(read, certificate(&chain, &one.key).unwrap(), "another chain");
    assert_eq!(certificate(&chain, &one.key).unwrap().key().cert.len(), 2);
    // Both in one file.
    let both = format!("{}{}", one.key, one.certificate);
    assert_eq!(read, certificate(&both, &both).unwrap());
}

#[test]
fn what_does_not_fit_or_is_not_whole_says_so_and_quotes_nothing() {
    let [one, other] = ["a.example", "b.example"].map(|name| pair(name, 2100));
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let locked = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_owned();
    let no_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n".to_owned();
    for (chain, key, says) in [
        (&one.certificate, &other.key, "the key does not fit the certificate"),
        (&format!("{}{}", other.certificate, one.certificate), &one.key, "the key does not fit the certificate"),
        (&one.key, &one.key, "holds no certificate"),
        (&one.certificate, &one.certificate, "holds no private key"),
        (&cut(&one.certificate), &one.key, "is not whole PEM"),
        (&one.certificate, &cut(&one.key), "is not whole PEM"),
        (&one.certificate, &locked, "passphrase"),
        (&empty, &one.key, "the certificate cannot be used"),
        (&one.certificate, &no_key, "the key is none that can be used"),
        (&String::new(), &one.key, "holds no certificate"),
    ] {
        let flaw = certificate(chain, key).unwrap_err();
        assert!(flaw.what.contains(says) && !flaw.mend.is_empty(), "{flaw:?} is not {says}");
        let quoted = one.key.lines().nth(1).unwrap();
        assert!(!format!("{flaw:?}").contains(&quoted[..8]), "{flaw:?}");
    }
    let read = certificate(&one.certificate, &one.key).unwrap();
    assert!(!format!("{read:?}").contains("key"), "{read:?}");
}

#[test]
fn a_certificate_says_when_it_holds() {
    let pair = pair("a.example", 1999);
    let read = certificate(&pair.certificate, &pair.key).unwrap();
    let at = |text| humantime::parse_rfc3339(text).unwrap();
    assert_eq!(read.expires_at(), Some(at("1999-12-31T00:00:00Z")));
    assert_eq!(read.flaw_at(at("1999-12-30T00:00:00Z")), None);
    let flaw = read.flaw_at(at("2000-01-01T00:00:00Z")).unwrap();
    assert!(flaw.what.contains("expired at 1999-12-31T00:00:00Z") && flaw.mend.contains("reload"), "{flaw:?}");
    let before = read.flaw_at(std::time::SystemTime::UNIX_EPOCH - Duration::from_secs(1)).unwrap();
    assert!(before.what.contains("not valid before 1970-01-01T00:00:00Z"), "{before:?}");
}

#[test]
fn without_an_issuer_nobody_can_be_trusted() {
    assert!(client(RootCertStore::empty()).is_none());
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_a_certificate_or_a_key_by_chance(bytes: Vec<u8>, cut in 0..400_usize) {
        proptest::prop_assert!(read_chain(&bytes).is_err() && read_key(&bytes).is_err());
        // PEM around it is no certificate either.
        let text = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "A".repeat(cut * 4));
        let pair = pair("a.example", 2100);
        proptest::prop_assert!(certificate(&text, &pair.key).is_err());
    }
}
