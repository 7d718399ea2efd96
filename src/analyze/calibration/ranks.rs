//! An ordered multiset of confidences, right and wrong, that keeps the type-2 AUROC exact.

use crate::analyze::ahead::fetch;

const NIL: u16 = u16::MAX;

/// A distinct confidence, with how many right and wrong ones there are in its subtree (`counts[1]` and `counts[0]`).
#[derive(Clone, Copy, Debug)]
struct Node {
    confidence: f64,
    lower: u16,
    higher: u16,
    counts: [u16; 2],
}

/// AVL tree over the distinct confidences; each update costs O(log distinct) and adjusts the counts of pairs, which are
/// integers, so that nothing is lost however long the window slides. Ties (verbal confidences are few) cost no memory.
#[derive(Clone, Debug)]
pub(super) struct Ranks {
    nodes: Vec<Node>,
    heights: Vec<u8>,
    root: u16,
    /// Head of the list of unused nodes, linked by `lower`.
    free: u16,
    /// Pairs of a right and a wrong claim in which the right one was the surer.
    concordant: u64,
    /// Pairs of a right and a wrong claim with the same confidence.
    tied: u64,
}

impl Default for Ranks {
    fn default() -> Self {
        Self { nodes: Vec::new(), heights: Vec::new(), root: NIL, free: NIL, concordant: 0, tied: 0 }
    }
}

/// Pairs of a right and a wrong claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pairs {
    /// The right one was the surer.
    pub concordant: u64,
    /// Both were as sure.
    pub tied: u64,
    /// All.
    pub all: u64,
}

impl Ranks {
    /// Adds a claim, and names the node that [`Self::remove`] takes. Fewer than 65,535 claims are in at a time.
    pub fn add(&mut self, confidence: f64, correct: bool) -> u16 {
        let (found, concordant, tied) = self.walk(confidence, correct, |count| *count += 1);
        self.concordant += concordant;
        self.tied += tied;
        if found != NIL {
            return found;
        }
        let mut node = Node { confidence, lower: NIL, higher: NIL, counts: [0, 0] };
        node.counts[usize::from(correct)] = 1;
        let new = self.allocate(node);
        self.root = self.insert(self.root, new);
        new
    }

    /// Removes a claim that [`Self::add`] put into `node`.
    pub fn remove(&mut self, node: u16, correct: bool) {
        let confidence = self.confidence(node);
        let (_, concordant, tied) = self.walk(confidence, correct, |count| *count -= 1);
        self.concordant -= concordant;
        self.tied -= tied;
        if self.own(node) == [0, 0] {
            self.root = self.delete(self.root, confidence);
            self.node_mut(node).lower = self.free;
            self.free = node;
        }
    }

    /// See [`crate::analyze::ahead`].
    pub fn ahead(&self) {
        self.nodes.iter().step_by(64 / size_of::<Node>()).take(8).for_each(|node| fetch(Some(node)));
        fetch(self.heights.first());
    }

    /// The confidence of a node.
    pub fn confidence(&self, node: u16) -> f64 {
        self.node(node).confidence
    }

    /// How right and wrong claims compare.
    pub fn pairs(&self) -> Pairs {
        let [wrong, right] = self.counts(self.root).map(u64::from);
        Pairs { concordant: self.concordant, tied: self.tied, all: wrong * right }
    }

    /// Calls `each` with every distinct confidence in ascending order, and how many wrong and right claims it has.
    pub fn for_each(&self, each: &mut impl FnMut(f64, [u16; 2])) {
        self.visit(self.root, each);
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.heights.capacity()
    }

    /// Walks to a confidence, changing the counts on the way. Answers its node (or [`NIL`]), and how many of the other
    /// outcome make concordant pairs and ties with it.
    fn walk(&mut self, confidence: f64, correct: bool, change: impl Fn(&mut u16)) -> (u16, u64, u64) {
        let (mine, other) = (usize::from(correct), usize::from(!correct));
        let total = u64::from(self.counts(self.root)[other]);
        let (mut at, mut below, mut tied) = (self.root, 0, 0);
        while at != NIL {
            change(&mut self.node_mut(at).counts[mine]);
            let node = *self.node(at);
            let lower = u64::from(self.counts(node.lower)[other]);
            let higher = u64::from(self.counts(node.higher)[other]);
            let here = u64::from(node.counts[other]) - lower - higher;
            if confidence < node.confidence {
                at = node.lower;
            } else if confidence > node.confidence {
                below += lower + here;
                at = node.higher;
            } else {
                below += lower;
                tied = here;
                break;
            }
        }
        (at, if correct { below } else { total - below - tied }, tied)
    }

    fn visit(&self, at: u16, each: &mut impl FnMut(f64, [u16; 2])) {
        if at != NIL {
            self.visit(self.node(at).lower, each);
            each(self.confidence(at), self.own(at));
            self.visit(self.node(at).higher, each);
        }
    }

    fn allocate(&mut self, node: Node) -> u16 {
        if self.free != NIL {
            let at = self.free;
            self.free = self.node(at).lower;
            *self.node_mut(at) = node;
            self.heights[usize::from(at)] = 1;
            return at;
        }
        self.nodes.push(node);
        self.heights.push(1);
        (self.nodes.len() - 1) as u16
    }

    /// Hangs a node under `at`, whose counts know of it already. Answers the subtree's new root.
    fn insert(&mut self, at: u16, new: u16) -> u16 {
        if at == NIL {
            return new;
        }
        let node = *self.node(at);
        if self.confidence(new) < node.confidence {
            self.node_mut(at).lower = self.insert(node.lower, new);
        } else {
            self.node_mut(at).higher = self.insert(node.higher, new);
        }
        self.balance(at)
    }

    /// Unhangs the node of a confidence that no claim has any more. Answers the subtree's new root.
    fn delete(&mut self, at: u16, confidence: f64) -> u16 {
        if at == NIL {
            return NIL;
        }
        let node = *self.node(at);
        if confidence < node.confidence {
            self.node_mut(at).lower = self.delete(node.lower, confidence);
        } else if confidence > node.confidence {
            self.node_mut(at).higher = self.delete(node.higher, confidence);
        } else if node.lower == NIL {
            return node.higher;
        } else if node.higher == NIL {
            return node.lower;
        } else {
            let mut next = node.higher;
            while self.node(next).lower != NIL {
                next = self.node(next).lower;
            }
            let own = self.own(next);
            let higher = self.detach_lowest(node.higher, own);
            *self.node_mut(next) = Node { confidence: self.confidence(next), higher, ..node };
            return self.balance(next);
        }
        self.balance(at)
    }

    /// Unhangs the lowest node, which has the counts `own`, from under `at`. Answers the subtree's new root.
    fn detach_lowest(&mut self, at: u16, own: [u16; 2]) -> u16 {
        let node = *self.node(at);
        if node.lower == NIL {
            return node.higher;
        }
        let lower = self.detach_lowest(node.lower, own);
        let [wrong, right] = node.counts;
        *self.node_mut(at) = Node { lower, counts: [wrong - own[0], right - own[1]], ..node };
        self.balance(at)
    }

    fn balance(&mut self, at: u16) -> u16 {
        let Node { lower, higher, .. } = *self.node(at);
        let (low, high) = (self.height(lower), self.height(higher));
        if low > high + 1 {
            if self.height(self.node(lower).lower) < self.height(self.node(lower).higher) {
                self.node_mut(at).lower = self.raise_higher(lower);
            }
            self.raise_lower(at)
        } else if high > low + 1 {
            if self.height(self.node(higher).higher) < self.height(self.node(higher).lower) {
                self.node_mut(at).higher = self.raise_lower(higher);
            }
            self.raise_higher(at)
        } else {
            self.heights[usize::from(at)] = low.max(high) + 1;
            at
        }
    }

    /// Rotates the lower child up.
    fn raise_lower(&mut self, at: u16) -> u16 {
        let child = self.node(at).lower;
        let moved = self.node(child).higher;
        self.node_mut(at).lower = moved;
        self.node_mut(child).higher = at;
        self.exchange(at, child, moved)
    }

    /// Rotates the higher child up.
    fn raise_higher(&mut self, at: u16) -> u16 {
        let child = self.node(at).higher;
        let moved = self.node(child).lower;
        self.node_mut(at).higher = moved;
        self.node_mut(child).lower = at;
        self.exchange(at, child, moved)
    }

    /// Sets counts and heights right after a rotation in which `child` became the parent of `at`.
    fn exchange(&mut self, at: u16, child: u16, moved: u16) -> u16 {
        let (all, below, moved) = (self.counts(at), self.counts(child), self.counts(moved));
        self.node_mut(child).counts = all;
        self.node_mut(at).counts = [all[0] - below[0] + moved[0], all[1] - below[1] + moved[1]];
        for node in [at, child] {
            let Node { lower, higher, .. } = *self.node(node);
            self.heights[usize::from(node)] = self.height(lower).max(self.height(higher)) + 1;
        }
        child
    }

    /// Wrong and right claims with exactly a node's confidence.
    fn own(&self, at: u16) -> [u16; 2] {
        let node = self.node(at);
        let (lower, higher) = (self.counts(node.lower), self.counts(node.higher));
        [node.counts[0] - lower[0] - higher[0], node.counts[1] - lower[1] - higher[1]]
    }

    fn counts(&self, at: u16) -> [u16; 2] {
        if at == NIL { [0, 0] } else { self.node(at).counts }
    }

    fn height(&self, at: u16) -> u8 {
        if at == NIL { 0 } else { self.heights[usize::from(at)] }
    }

    fn node(&self, at: u16) -> &Node {
        &self.nodes[usize::from(at)]
    }

    fn node_mut(&mut self, at: u16) -> &mut Node {
        &mut self.nodes[usize::from(at)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(claims: &[(f64, bool)]) -> Pairs {
        let mut pairs = Pairs { concordant: 0, tied: 0, all: 0 };
        for (right, _) in claims.iter().filter(|(_, correct)| *correct) {
            for (wrong, _) in claims.iter().filter(|(_, correct)| !correct) {
                pairs.all += 1;
                pairs.concordant += u64::from(right > wrong);
                pairs.tied += u64::from(right == wrong);
            }
        }
        pairs
    }

    fn depth(ranks: &Ranks, at: u16) -> usize {
        if at == NIL {
            return 0;
        }
        let (lower, higher) = (depth(ranks, ranks.node(at).lower), depth(ranks, ranks.node(at).higher));
        assert!(lower.abs_diff(higher) <= 1, "out of balance");
        assert_eq!(usize::from(ranks.height(at)), lower.max(higher) + 1);
        lower.max(higher) + 1
    }

    proptest! {
        #[test]
        fn counts_pairs_as_a_scan_does(
            steps in prop::collection::vec((0..30u32, any::<bool>(), any::<prop::sample::Index>()), 1..250),
            keep in 1..60usize,
        ) {
            let (mut ranks, mut claims, mut nodes) = (Ranks::default(), Vec::new(), Vec::new());
            for (i, (level, correct, victim)) in steps.into_iter().enumerate() {
                let confidence = f64::from(level) / if i % 3 == 0 { 30.0 } else { 37.0 };
                nodes.push(ranks.add(confidence, correct));
                claims.push((confidence, correct));
                if claims.len() > keep {
                    let victim = victim.index(claims.len());
                    let (_, correct) = claims.swap_remove(victim);
                    ranks.remove(nodes.swap_remove(victim), correct);
                }
                prop_assert_eq!(ranks.pairs(), pairs(&claims));
                depth(&ranks, ranks.root);
            }
            let mut sorted = Vec::new();
            ranks.for_each(&mut |confidence, counts| sorted.push((confidence, counts)));
            prop_assert!(sorted.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(sorted.iter().all(|(_, counts)| *counts != [0, 0]));
            for (node, (confidence, _)) in nodes.iter().zip(&claims) {
                prop_assert_eq!(ranks.confidence(*node), *confidence);
            }
        }
    }

    #[test]
    fn unused_nodes_are_used_again() {
        let mut ranks = Ranks::default();
        let mut window = std::collections::VecDeque::new();
        for i in 0..10_000u32 {
            window.push_back((ranks.add(f64::from(i) / 10_000.0, i % 3 == 0), i % 3 == 0));
            if window.len() > 100 {
                let (node, correct) = window.pop_front().unwrap();
                ranks.remove(node, correct);
            }
        }
        assert_eq!(ranks.nodes.len(), 101);
        assert!(depth(&ranks, ranks.root) <= 9);
    }
}
