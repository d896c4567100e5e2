use std::collections::BTreeMap;
use std::io;

use proptest::prelude::*;

use super::*;

const SIZE: u64 = 64 << 20;

struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("layers.raw")
    }

    fn open(&self, existing: &[Extent]) -> LayerDisk {
        LayerDisk::open_sized(&self.path(), existing, SIZE).unwrap()
    }

    #[cfg(unix)]
    fn allocated_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(self.path()).unwrap().blocks() * 512
    }
}

fn write(disk: &LayerDisk, byte: u8, length: usize) -> Vec<Extent> {
    let mut writer = disk.writer();
    writer.write_at(0, &vec![byte; length]).unwrap();
    writer.finish(length as u64).unwrap()
}

fn read(disk: &LayerDisk, extents: &[Extent]) -> Vec<u8> {
    let length: u64 = extents.iter().map(|e| e.length_bytes).sum();
    let mut bytes = vec![0; length as usize];
    disk.read_at(extents, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn layers_stand_apart_and_are_whole() {
    let scratch = Scratch::new();
    let disk = scratch.open(&[]);
    let (a, b) = (write(&disk, 1, 10_000), write(&disk, 2, 4096));
    assert_eq!((a.len(), a[0].length_bytes), (1, 12_288));
    assert_eq!(read(&disk, &a)[..10_000], [1; 10_000]);
    assert_eq!(read(&disk, &b), [2; 4096]);
    assert_eq!(disk.used_bytes(), 16_384);
}

#[test]
fn a_writer_goes_back_and_skips() {
    let scratch = Scratch::new();
    let disk = scratch.open(&[]);
    let mut writer = disk.writer();
    writer.write_at(8192, b"late").unwrap();
    writer.write_at(0, b"first").unwrap();
    let extents = writer.finish(16_384).unwrap();
    let bytes = read(&disk, &extents);
    assert_eq!((&bytes[..5], &bytes[8192..8196], bytes.len()), (&b"first"[..], &b"late"[..], 16_384));
    assert!(bytes[8196..].iter().all(|&b| b == 0));
}

#[cfg(target_os = "linux")]
#[test]
fn abandoned_and_freed_layers_give_their_space_back() {
    let scratch = Scratch::new();
    let disk = scratch.open(&[]);
    let kept = write(&disk, 1, 1 << 20);
    let before = scratch.allocated_bytes();
    let mut abandoned = disk.writer();
    abandoned.write_at(0, &vec![2; 8 << 20]).unwrap();
    let freed = write(&disk, 3, 1 << 20);
    assert!(scratch.allocated_bytes() > before);
    drop(abandoned);
    disk.free(&freed).unwrap();
    assert_eq!(scratch.allocated_bytes(), before);
    assert_eq!(disk.used_bytes(), 1 << 20);
    assert_eq!(read(&disk, &kept), vec![1; 1 << 20]);
    disk.free(&kept).unwrap();
    assert_eq!(scratch.allocated_bytes(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn opening_punches_what_a_crash_left() {
    let scratch = Scratch::new();
    let kept = write(&scratch.open(&[]), 1, 1 << 20);
    let disk = scratch.open(&kept);
    std::mem::forget({
        let mut crashed = disk.writer();
        crashed.write_at(0, &vec![2; 4 << 20]).unwrap();
        crashed
    });
    assert!(scratch.allocated_bytes() >= 5 << 20);
    let disk = scratch.open(&kept);
    assert_eq!(scratch.allocated_bytes(), 1 << 20);
    assert_eq!(read(&disk, &kept), vec![1; 1 << 20]);
}

#[test]
fn extents_are_given_out_again_only_after_free() {
    let scratch = Scratch::new();
    let disk = scratch.open(&[]);
    let first = write(&disk, 1, SIZE as usize - 4096);
    let second = write(&disk, 2, 4096);
    let mut third = disk.writer();
    assert!(matches!(third.write_at(0, b"x"), Err(WriteError::Full { size_bytes: SIZE, .. })));
    disk.free(&second).unwrap();
    third.write_at(0, b"x").unwrap();
    assert_eq!(third.finish(1).unwrap(), second);
    assert_eq!(disk.used_bytes(), SIZE);
    drop(first);
}

#[test]
fn a_full_host_is_said_clearly() {
    let scratch = Scratch::new();
    let disk = scratch.open(&[]);
    let error = disk.write_error(io::Error::from(io::ErrorKind::StorageFull));
    assert!(matches!(error, WriteError::NoSpace { .. }));
    assert!(error.to_string().starts_with("no space left on the host for layer disk"));
}

#[test]
fn foreign_and_twice_freed_extents_are_refused() {
    let scratch = Scratch::new();
    let disk = scratch.open(&[]);
    let extents = write(&disk, 1, 8192);
    let whole = extents[0];
    let beyond = Extent { offset_bytes: whole.offset_bytes + 4096, ..whole };
    let odd = Extent { length_bytes: 100, ..whole };
    for wrong in [vec![beyond], vec![odd], vec![whole, whole], vec![Extent { length_bytes: 0, ..whole }]] {
        assert!(matches!(disk.free(&wrong), Err(FreeError::Extents { .. })), "{wrong:?}");
    }
    assert_eq!(disk.used_bytes(), 8192);
    disk.free(&extents).unwrap();
    assert!(matches!(disk.free(&extents), Err(FreeError::Extents { source: ExtentError::NotUsed(_), .. })));
}

#[test]
fn contradictory_records_lose_nothing() {
    let scratch = Scratch::new();
    let extent = |offset_bytes, length_bytes| Extent { offset_bytes, length_bytes };
    let one = write(&scratch.open(&[]), 1, 32 << 10);
    assert_eq!(one, [extent(0, 32 << 10)]);
    let other = [extent(16 << 10, 8 << 10), extent(28 << 10, 12 << 10)];
    let impossible = [extent(1, 4096), extent(SIZE, 4096), extent(u64::MAX - 4095, 4096), extent(4096, 0)];
    let existing: Vec<_> = one.iter().chain(&other).chain(&impossible).copied().collect();

    let disk = scratch.open(&existing);
    assert_eq!(read(&disk, &one), vec![1; 32 << 10], "no hole was made");
    assert_eq!(disk.used_bytes(), 40 << 10);
    assert!(disk.is_disputed(&one) && disk.is_disputed(&other));
    let next = write(&disk, 2, 64 << 10);
    assert!(!disk.is_disputed(&next));
    assert_eq!(read(&disk, &one), vec![1; 32 << 10], "a new layer takes nobody's place");

    disk.free(&other).unwrap();
    disk.free(&impossible).unwrap();
    assert_eq!(disk.used_bytes(), (32 + 64) << 10, "what the other claims too stays");
    assert_eq!(read(&disk, &one), vec![1; 32 << 10]);
    disk.free(&one).unwrap();
    assert_eq!(disk.used_bytes(), (12 + 64) << 10, "until the next opening");
    drop(disk);
    assert_eq!(scratch.open(&next).used_bytes(), 64 << 10);
}

#[test]
fn writers_at_once_keep_apart() {
    let scratch = Scratch::new();
    let disk = scratch.open(&[]);
    let layers: Vec<(u8, Vec<Extent>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=4u8)
            .map(|byte| {
                let disk = disk.clone();
                scope.spawn(move || (byte, write(&disk, byte, 1 << 20)))
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for (byte, extents) in &layers {
        assert_eq!(read(&disk, extents), vec![*byte; 1 << 20]);
    }
    assert_eq!(disk.used_bytes(), 4 << 20);
}

#[derive(Debug, Clone)]
enum Step {
    Allocate(u64, bool),
    Free(prop::sample::Index),
}

proptest! {
    #[test]
    fn the_allocator_never_overlaps_and_loses_nothing(steps in prop::collection::vec(prop_oneof![
        (1u64..40, any::<bool>()).prop_map(|(blocks, adjacent)| Step::Allocate(blocks, adjacent)),
        any::<prop::sample::Index>().prop_map(Step::Free),
    ], 1..200)) {
        const BLOCKS: u64 = 256;
        let mut allocator = Allocator::new(BLOCKS * BLOCK_BYTES, &[]);
        let mut used: BTreeMap<u64, Extent> = BTreeMap::new();
        let mut last = None;
        for step in steps {
            match step {
                Step::Allocate(blocks, adjacent) => {
                    let after = last.filter(|_| adjacent);
                    let given = allocator.allocate(blocks * BLOCK_BYTES, after);
                    let total: u64 = used.values().map(|e| e.length_bytes).sum();
                    let Some(extent) = given else {
                        prop_assert_eq!(total, BLOCKS * BLOCK_BYTES);
                        continue;
                    };
                    prop_assert!(extent.length_bytes > 0 && extent.length_bytes <= blocks * BLOCK_BYTES);
                    prop_assert!((extent.offset_bytes | extent.length_bytes).is_multiple_of(BLOCK_BYTES));
                    prop_assert!(extent.end_bytes() <= BLOCKS * BLOCK_BYTES);
                    for other in used.values() {
                        prop_assert!(extent.end_bytes() <= other.offset_bytes || other.end_bytes() <= extent.offset_bytes);
                    }
                    used.insert(extent.offset_bytes, extent);
                    last = Some(extent.end_bytes());
                }
                Step::Free(index) if !used.is_empty() => {
                    let key = *index.get(&used.keys().copied().collect::<Vec<_>>());
                    let extent = used.remove(&key).unwrap();
                    prop_assert!(allocator.free(&[extent]).is_ok());
                    prop_assert!(allocator.free(&[extent]).is_err());
                }
                Step::Free(_) => {}
            }
            prop_assert_eq!(allocator.used_bytes(), used.values().map(|e| e.length_bytes).sum::<u64>());
            let reopened = Allocator::new(BLOCKS * BLOCK_BYTES, &used.values().copied().collect::<Vec<_>>());
            prop_assert_eq!(
                allocator.free_extents().collect::<Vec<_>>(),
                reopened.free_extents().collect::<Vec<_>>()
            );
        }
        allocator.free(&used.values().copied().collect::<Vec<_>>()).unwrap();
        let all = Extent { offset_bytes: 0, length_bytes: BLOCKS * BLOCK_BYTES };
        prop_assert_eq!(allocator.free_extents().collect::<Vec<_>>(), [all]);
    }
}
