//! Tiles, their paths, and proofs from them, against the definition of RFC 6962 for every size up to 2,000.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use countersign_ledger::merkle::{
    EntryBundle, Hash, ProofError, ProofPlan, ProofRequest, Tile, TileError, TilePath, Tiles, leaf_hash, new_tiles,
    node_hash, root, tiles, verify_consistency, verify_inclusion,
};

const MOST: usize = 2_000;

/// The tree as RFC 6962 section 2.1 defines it, with the roots of full subtrees kept so that 2,000 logs are quick.
struct Reference {
    leaves: Vec<Hash>,
    /// `full[h][i]`: the root over the i-th 2^h leaves.
    full: Vec<Vec<Hash>>,
}

impl Reference {
    fn new(size: usize) -> Self {
        let leaves: Vec<Hash> = (0..size).map(|nth| leaf_hash(format!("entry {nth}").as_bytes())).collect();
        let mut full = vec![leaves.clone()];
        while full.last().unwrap().len() > 1 {
            let above = full.last().unwrap().as_chunks::<2>().0.iter().map(|[l, r]| node_hash(l, r)).collect();
            full.push(above);
        }
        Self { leaves, full }
    }

    fn k(len: usize) -> usize {
        let mut k = 1;
        while k * 2 < len {
            k *= 2;
        }
        k
    }

    /// MTH(D[from:to])
    fn mth(&self, from: usize, to: usize) -> Hash {
        let len = to - from;
        if len == 0 {
            return root(&[]);
        }
        if len.is_power_of_two() && from.is_multiple_of(len) {
            return self.full[len.trailing_zeros() as usize][from / len];
        }
        let k = Self::k(len);
        node_hash(&self.mth(from, from + k), &self.mth(from + k, to))
    }

    /// PATH(m, D[from:to])
    fn path(&self, m: usize, from: usize, to: usize) -> Vec<Hash> {
        if to - from <= 1 {
            return Vec::new();
        }
        let k = Self::k(to - from);
        if m < k {
            [self.path(m, from, from + k), vec![self.mth(from + k, to)]].concat()
        } else {
            [self.path(m - k, from + k, to), vec![self.mth(from, from + k)]].concat()
        }
    }

    /// SUBPROOF(m, D[from:to], b)
    fn subproof(&self, m: usize, from: usize, to: usize, b: bool) -> Vec<Hash> {
        let n = to - from;
        if m == n {
            return if b { Vec::new() } else { vec![self.mth(from, to)] };
        }
        let k = Self::k(n);
        if m <= k {
            [self.subproof(m, from, from + k, b), vec![self.mth(from + k, to)]].concat()
        } else {
            [self.subproof(m - k, from + k, to, false), vec![self.mth(from, from + k)]].concat()
        }
    }

    /// The bytes of a tile, by the formula of tlog-tiles.
    fn tile(&self, tile: Tile) -> Vec<u8> {
        let span = 256_usize.pow(tile.level().into());
        let first = usize::try_from(tile.index()).unwrap() * 256;
        let hashes = (first..first + usize::from(tile.width())).map(|i| self.mth(i * span, (i + 1) * span));
        hashes.collect::<Vec<_>>().concat()
    }
}

/// Computes from exactly the tiles that the plan asks for, and sees that they are few.
fn from_tiles(log: &Reference, plan: &ProofPlan) -> Vec<Hash> {
    let mut fetched = Tiles::default();
    let wanted = plan.tiles();
    for level in 0..8 {
        assert!(wanted.iter().filter(|tile| tile.level() == level).count() <= 2, "{wanted:?}");
    }
    for tile in wanted {
        fetched.insert(tile, &log.tile(tile)).unwrap();
    }
    plan.compute(&fetched).unwrap()
}

/// Boundaries, and some that are spread over the log.
fn places(size: usize) -> Vec<usize> {
    let mut places = vec![0, 1, 127, 128, 255, 256, 257, 511, 512, 1023, 1024, size / 2, size / 3];
    places.extend([1, 2, 3, 255, 256, 257].map(|back| size.saturating_sub(back)));
    places.extend((1..4).map(|nth: usize| nth.wrapping_mul(2_654_435_761).wrapping_add(size * 40_503) % (size + 1)));
    places.retain(|place| *place <= size);
    places.sort_unstable();
    places.dedup();
    places
}

#[test]
fn proofs_of_every_size_are_those_of_the_rfc() {
    let log = Reference::new(MOST);
    for size in 0..=MOST {
        // Half of the sizes are proved in a log that has grown since.
        let held = if size % 2 == 0 { size } else { MOST.min(size + size % 300) } as u64;
        let plan = |request: ProofRequest| request.plan(held).unwrap();
        let (to, whole) = (size as u64, log.mth(0, size));
        assert_eq!(from_tiles(&log, &plan(ProofRequest::Root { size: to })), [whole], "size {size}");
        for place in places(size) {
            let at = place as u64;
            if place < size {
                let proof = from_tiles(&log, &plan(ProofRequest::Inclusion { index: at, size: to }));
                assert_eq!(proof, log.path(place, 0, size), "leaf {place} of {size}");
                assert_eq!(verify_inclusion(&log.leaves[place], at, to, &proof, &whole), Ok(()));
            }
            let proof = from_tiles(&log, &plan(ProofRequest::Consistency { from: at, to }));
            let wanted = if place == 0 { Vec::new() } else { log.subproof(place, 0, size, true) };
            assert_eq!(proof, wanted, "{place} to {size}");
            assert_eq!(verify_consistency(at, &log.mth(0, place), to, &whole, &proof), Ok(()), "{place} to {size}");
        }
    }
}

#[test]
fn proofs_that_cannot_be_are_refused() {
    let plan = |request: ProofRequest, held| request.plan(held).map(|plan| plan.tiles());
    for (index, size) in [(0, 0), (1, 1), (7, 7), (u64::MAX, 7)] {
        let refused = Err(TileError::Proof(ProofError::IndexOutOfRange { index, size }));
        assert_eq!(plan(ProofRequest::Inclusion { index, size }, 9), refused);
    }
    let shrinking = |from, to| Err(TileError::Proof(ProofError::Shrinking { from, to }));
    assert_eq!(plan(ProofRequest::Consistency { from: 3, to: 2 }, 9), shrinking(3, 2));
    assert_eq!(plan(ProofRequest::Root { size: 10 }, 9), shrinking(10, 9));
    assert_eq!(plan(ProofRequest::Root { size: 0 }, 0), Ok(Vec::new()));
    assert_eq!(plan(ProofRequest::Consistency { from: 9, to: 9 }, 9), Ok(Vec::new()));
    let whole = ProofRequest::Inclusion { index: u64::MAX - 1, size: u64::MAX }.plan(u64::MAX).unwrap();
    assert!(whole.tiles().len() <= 16);
}

#[test]
fn a_proof_lacking_a_tile_says_which() {
    let log = Reference::new(600);
    let plan = ProofRequest::Inclusion { index: 300, size: 600 }.plan(600).unwrap();
    let wanted = plan.tiles();
    assert_eq!(
        wanted.iter().map(Tile::to_string).collect::<Vec<_>>(),
        ["tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"]
    );
    for lacking in &wanted {
        let mut fetched = Tiles::default();
        for tile in wanted.iter().filter(|tile| *tile != lacking) {
            fetched.insert(*tile, &log.tile(*tile)).unwrap();
        }
        assert_eq!(plan.compute(&fetched), Err(TileError::Missing(*lacking)));
    }
    let short = Tiles::default().insert(wanted[0], &[0; 8191]);
    assert_eq!(short, Err(TileError::Length { tile: wanted[0], len: 8191 }));
}

/// The example of tlog-tiles: 70,000 leaves.
#[test]
fn a_log_has_the_tiles_of_the_specification() {
    let of = |size: u64| tiles(size).collect::<Vec<_>>();
    let big = of(70_000);
    assert_eq!(big.len(), 273 + 1 + 1 + 1 + 1);
    assert_eq!(big.iter().filter(|tile| tile.level() == 0 && tile.is_full()).count(), 273);
    let last: Vec<String> = big[273..].iter().map(Tile::to_string).collect();
    assert_eq!(last, ["tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]);
    assert_eq!(of(256).iter().map(Tile::to_string).collect::<Vec<_>>(), ["tile/0/000", "tile/1/000.p/1"]);
    assert!(of(0).is_empty());
}

#[test]
fn growing_makes_exactly_the_tiles_that_were_not() {
    let sizes = [0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000];
    for (nth, from) in sizes.iter().enumerate() {
        for to in &sizes[nth..] {
            let old: Vec<Tile> = tiles(*from).collect();
            let wanted: Vec<Tile> = tiles(*to).filter(|tile| !old.contains(tile)).collect();
            assert_eq!(new_tiles(*from, *to).collect::<Vec<_>>(), wanted, "{from} to {to}");
        }
    }
}

#[test]
fn a_full_tile_hashes_into_the_level_above() {
    let log = Reference::new(600);
    let [full, partial] = [Tile::in_log(600, 0, 1).unwrap(), Tile::in_log(600, 0, 2).unwrap()];
    assert_eq!(full.parent_hash(&log.tile(full)).unwrap(), Some(log.mth(256, 512)));
    assert_eq!(partial.parent_hash(&log.tile(partial)).unwrap(), None);
    assert_eq!(Tile::in_log(600, 0, 3), None);
    assert_eq!(Tile::in_log(u64::MAX, 0, u64::MAX), None);
    assert_eq!(Tile::in_log(u64::MAX, 63, 0), None);
}

#[test]
fn a_path_has_one_spelling() {
    for path in [
        "tile/0/000",
        "tile/0/273.p/112",
        "tile/63/x001/x234/067",
        "tile/entries/x001/x234/067.p/255",
        "tile/entries/000.p/1",
        "tile/7/x018/x446/x744/x073/x709/x551/615",
    ] {
        assert_eq!(TilePath::parse(path).map(|read| read.to_string()), Ok(path.to_owned()));
    }
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+0/000",
        "tile/0/x000/000",
        "tile/0/x001/x000",
        "tile/0/001/000",
        "tile/0/x1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/+1",
        "tile/0/000.p",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000.p/1.p/1",
        "tile/data/000",
        "tile/entries/0",
        "tile//000",
        "tile/0/xx000",
        "tile/0/..",
        "tile/0/0\u{660}0",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(TilePath::parse(path), Err(TileError::Path), "{path}");
    }
}

#[test]
fn a_bundle_is_its_entries_and_nothing_else() {
    let bundle = EntryBundle::in_log(258, 1).unwrap();
    let bytes = bundle.encode(&[&b"one"[..], b""]).unwrap();
    assert_eq!(bytes, b"\x00\x03one\x00\x00");
    assert_eq!(bundle.entries(&bytes).unwrap(), [&b"one"[..], b""]);
    for cut in 0..bytes.len() {
        assert_eq!(bundle.entries(&bytes[..cut]), Err(TileError::Bundle(2)), "{cut}");
    }
    assert_eq!(bundle.entries(&[&bytes[..], &[0]].concat()), Err(TileError::Bundle(2)));
    assert_eq!(bundle.encode(&[b"one"]), Err(TileError::Bundle(2)));
    assert_eq!(bundle.encode(&[vec![0; 65_536], vec![]]), Err(TileError::Entry(65_536)));
}
