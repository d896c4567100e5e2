//! Layers as images have them: of 10,000 files, 200 MB, gzip leaves about half. Always the same bytes.

use anyhow::Result;
use std::io::Write;

/// What a layer holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// How many files.
    pub(super) files: u32,
    /// Their bytes in all, nearly.
    pub(super) bytes: u32,
    /// The folder that they are in.
    pub(super) folder: &'static str,
    /// Other bytes for each.
    pub(super) seed: u64,
}

const FILES_PER_FOLDER: u32 = 40;
const WORDS: u64 = 3_000;

/// xorshift64*: not random enough for anything but this.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below 1.
    fn part(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX).next_up()
    }
}

/// Writes the layer's tar; `program` goes into it as /bin/true.
pub(super) fn write_tar(out: impl Write, program: &[u8], shape: Shape) -> Result<()> {
    let mut dice = Dice(shape.seed);
    let words: Vec<Vec<u8>> = (0..WORDS).map(|_| word(&mut dice)).collect();
    let mut archive = tar::Builder::new(out);
    append(&mut archive, "bin/true", 0o755, program)?;
    let mean = f64::from(shape.bytes) / f64::from(shape.files);
    let mut body = Vec::new();
    for number in 0..shape.files {
        // Many small files, few large ones: exponential, as package contents roughly are.
        let size = -mean * (1.0 - dice.part()).ln();
        body.clear();
        fill(&mut body, size, &mut dice, &words);
        let folder = number / FILES_PER_FOLDER;
        append(&mut archive, &format!("{}/part{folder:03}/file{number:05}", shape.folder), 0o644, &body)?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, mode: u32, body: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(body.len() as u64);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    Ok(archive.append_data(&mut header, path, body)?)
}

fn word(dice: &mut Dice) -> Vec<u8> {
    let length = 2 + dice.next() % 9;
    (0..length).map(|_| b"etaoinshrdlucmfwypvbgkqjxz"[(dice.part() * dice.part() * 26.0) as usize]).collect()
}

/// Text, records as programs and tables have them, or what is already compressed.
fn fill(body: &mut Vec<u8>, size: f64, dice: &mut Dice, words: &[Vec<u8>]) {
    let size = size as usize;
    match dice.next() % 20 {
        0..10 => {
            while body.len() < size {
                let at = dice.part() * dice.part() * words.len() as f64;
                body.extend(&words[at as usize]);
                body.push(if dice.next().is_multiple_of(12) { b'\n' } else { b' ' });
            }
        }
        10..17 => {
            let mut address = dice.next();
            while body.len() < size {
                address = address.wrapping_add(dice.next() % 256);
                body.extend(&address.to_le_bytes()[..6]);
                body.extend([0, (dice.next() % 16) as u8]);
            }
        }
        _ => {
            while body.len() < size {
                body.extend(dice.next().to_le_bytes());
            }
        }
    }
    body.truncate(size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_their_mean_and_bodies_their_size() {
        let mut dice = Dice(1);
        let words: Vec<Vec<u8>> = (0..100).map(|_| word(&mut dice)).collect();
        for _ in 0..100 {
            let mut body = Vec::new();
            fill(&mut body, 1_234.5, &mut dice, &words);
            assert_eq!(body.len(), 1_234);
        }
        let parts: Vec<f64> = (0..10_000).map(|_| dice.part()).collect();
        assert!(parts.iter().all(|part| (0.0..1.0).contains(part)));
        assert!((parts.iter().sum::<f64>() / 10_000.0 - 0.5).abs() < 0.02);
    }
}
