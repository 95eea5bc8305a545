//! A gate as classic BPF for the listening socket (requirement A2): a SYN of a client who is dropped gets no answer.
//!
//!     flags: a SYN that begins a connection? --no--> pass
//!       `--yes--> word of the source address --tree of comparisons--> pass | drop | next word of the address
//!
//! The kernel runs a listening socket's filter on every segment of its connections too, as accepted sockets inherit it.
//! So all but the first SYN pass after four instructions, and a filter of before a change cuts nobody off. Where the
//! list has changed between SYN and accept, accept decides.
//!
//! `data` of a TCP socket's filter begins at the TCP header (Linux, `tcp_filter` in `net/ipv4/tcp_ipv4.c` and
//! `net/ipv6/tcp_ipv6.c`); `NETWORK_HEADER` leads to the IP header. Jumps go forward, by 255 instructions or by a jump
//! of their own.

use std::net::IpAddr;

use super::gate::Gate;
use super::group::Compiled;
use super::intervals::{Intervals, Mark};

/// Longest program that a socket takes (`BPF_MAXINSNS` of `linux/bpf_common.h`).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// One instruction, as `sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// So many instructions are skipped where the comparison holds.
    pub if_true: u8,
    /// And so many where it does not.
    pub if_false: u8,
    /// The constant.
    pub k: u32,
}

/// A filter for a listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    drops_nobody: bool,
}

/// From here on a decision holds, to the next cut. IPv4 has one word.
struct Cut {
    words: [u32; 4],
    allowed: bool,
}

/// What is known once a word is within some bounds.
enum Branch<'c> {
    Decided(bool),
    /// The next word decides: these cuts have all words in common up to here, and below the first of them `before`
    /// holds.
    NextWord {
        cuts: &'c [Cut],
        before: bool,
    },
}

impl Program {
    /// What the gate says to clients of a listener at an address; `None` where it takes too many instructions.
    #[must_use]
    pub(super) fn new(gate: &Gate, address: IpAddr) -> Option<Program> {
        let (balancer, listener) = (&*gate.balancer, &*gate.listener);
        let (cuts, family) = match address {
            IpAddr::V4(_) => (cuts(balancer, listener, |of| &of.v4, |bits| [bits, 0, 0, 0]), &IPV4_SOURCE[..]),
            IpAddr::V6(_) => (cuts(balancer, listener, |of| &of.v6, words), &IPV6_SOURCE[..]),
        };
        // Each cut takes an instruction at least: a list that is far too long is not even tried.
        if cuts.len() > INSTRUCTIONS_MAX {
            return None;
        }
        let drops_nobody = cuts.iter().all(|cut| cut.allowed);
        let mut instructions = vec![
            Instruction::plain(LOAD_BYTE, TCP_FLAGS),
            Instruction::plain(AND, SYN | ACK),
            Instruction { code: JUMP_IF_EQUAL, if_true: 1, if_false: 0, k: SYN },
            Instruction::plain(RETURN, WHOLE_PACKET),
        ];
        // The first cut is at the lowest address, so nothing is below it.
        instructions.extend(next_word(&cuts, false, 0, family));
        (instructions.len() <= INSTRUCTIONS_MAX).then_some(Program { instructions, drops_nobody })
    }

    /// In order.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// As the kernel takes it.
    #[must_use]
    pub fn for_kernel(&self) -> Vec<libc::sock_filter> {
        let instruction =
            |step: &Instruction| libc::sock_filter { code: step.code, jt: step.if_true, jf: step.if_false, k: step.k };
        self.instructions.iter().map(instruction).collect()
    }

    /// It need not be there.
    pub(super) fn drops_nobody(&self) -> bool {
        self.drops_nobody
    }
}

impl Instruction {
    fn plain(code: u16, k: u32) -> Instruction {
        Instruction { code, if_true: 0, if_false: 0, k }
    }
}

/// Where the decision of both groups together changes.
fn cuts<A: Copy + Ord + Default>(
    balancer: &Compiled,
    listener: &Compiled,
    family: impl for<'g> Fn(&'g Compiled) -> &'g Intervals<A>,
    words: impl Fn(A) -> [u32; 4],
) -> Vec<Cut> {
    let mut firsts: Vec<A> = [balancer, listener].iter().flat_map(|group| family(group).firsts()).copied().collect();
    firsts.sort_unstable();
    firsts.dedup();
    let allows = |group: &Compiled, address| -> bool {
        let mark: Mark = family(group).at(address);
        group.allows(mark)
    };
    let mut cuts: Vec<Cut> = Vec::new();
    for first in firsts {
        let allowed = allows(balancer, first) && allows(listener, first);
        if cuts.last().is_none_or(|last| last.allowed != allowed) {
            cuts.push(Cut { words: words(first), allowed });
        }
    }
    cuts
}

/// The highest first.
#[expect(clippy::cast_possible_truncation, reason = "each takes its own 32 bits")]
fn words(bits: u128) -> [u32; 4] {
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

/// Loads the word at `depth` of the source address, whose offsets are `family`, and decides by it.
fn next_word(cuts: &[Cut], before: bool, depth: usize, family: &[u32]) -> Vec<Instruction> {
    let mut code = vec![Instruction::plain(LOAD_WORD, family[depth])];
    code.extend(tree(&branches(cuts, before, depth), depth, family));
    code
}

/// What follows from the word at `depth`: from which value on holds what. The first begins at 0.
fn branches(cuts: &[Cut], before: bool, depth: usize) -> Vec<(u32, Branch<'_>)> {
    let mut branches = vec![(0, Branch::Decided(before))];
    let mut before = before;
    for alike in cuts.chunk_by(|a, b| a.words[depth] == b.words[depth]) {
        let (Some(first), Some(last)) = (alike.first(), alike.last()) else { continue };
        let value = first.words[depth];
        let is_exact = alike.len() == 1 && first.words[depth + 1..].iter().all(|word| *word == 0);
        if is_exact {
            put(&mut branches, value, Branch::Decided(last.allowed));
        } else {
            put(&mut branches, value, Branch::NextWord { cuts: alike, before });
            if let Some(value) = value.checked_add(1) {
                put(&mut branches, value, Branch::Decided(last.allowed));
            }
        }
        before = last.allowed;
    }
    branches
}

/// A branch takes the place of one that begins where it does.
fn put<'c>(branches: &mut Vec<(u32, Branch<'c>)>, value: u32, branch: Branch<'c>) {
    branches.pop_if(|(last, _)| *last == value);
    branches.push((value, branch));
}

/// A search by halves: `A >= value` skips the lower half.
fn tree(branches: &[(u32, Branch<'_>)], depth: usize, family: &[u32]) -> Vec<Instruction> {
    if let [(_, branch)] = branches {
        return match branch {
            Branch::Decided(allowed) => vec![Instruction::plain(RETURN, if *allowed { WHOLE_PACKET } else { NOTHING })],
            Branch::NextWord { cuts, before } => next_word(cuts, *before, depth + 1, family),
        };
    }
    let (lower, upper) = branches.split_at(branches.len() / 2);
    let Some((value, _)) = upper.first() else { return Vec::new() };
    let lower_half = tree(lower, depth, family);
    let mut code = match u8::try_from(lower_half.len()) {
        Ok(if_true) => vec![Instruction { code: JUMP_IF_NOT_LESS, if_true, if_false: 0, k: *value }],
        // A comparison skips 255 instructions at most.
        Err(_) => vec![
            Instruction { code: JUMP_IF_NOT_LESS, if_true: 0, if_false: 1, k: *value },
            Instruction::plain(JUMP, u32::try_from(lower_half.len()).unwrap_or(u32::MAX)),
        ],
    };
    code.extend(lower_half);
    code.extend(tree(upper, depth, family));
    code
}

// Of linux/bpf_common.h.
pub(super) const LOAD_WORD: u16 = 0x20;
pub(super) const LOAD_BYTE: u16 = 0x30;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_IF_EQUAL: u16 = 0x15;
pub(super) const JUMP_IF_NOT_LESS: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

/// `SKF_NET_OFF` of linux/filter.h.
pub(super) const NETWORK_HEADER: u32 = 0xfff0_0000;
/// Offset of the flags in the TCP header (RFC 9293, 3.1).
pub(super) const TCP_FLAGS: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;
/// Source address in the IPv4 header (RFC 791, 3.1).
const IPV4_SOURCE: [u32; 1] = [NETWORK_HEADER + 12];
/// Source address in the IPv6 header (RFC 8200, 3).
const IPV6_SOURCE: [u32; 4] = [NETWORK_HEADER + 8, NETWORK_HEADER + 12, NETWORK_HEADER + 16, NETWORK_HEADER + 20];

/// So many bytes of the packet pass: all.
pub(super) const WHOLE_PACKET: u32 = u32::MAX;
/// None pass: it is dropped.
const NOTHING: u32 = 0;
