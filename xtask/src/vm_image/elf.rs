//! The little of ELF that is needed: a module's `.modinfo`, and the libraries that a program asks for.

use anyhow::{Context, Result, bail};

const DT_NEEDED: u64 = 1;

/// A 64-bit little-endian ELF file with section headers.
pub(crate) struct Elf<'a> {
    bytes: &'a [u8],
    sections: Vec<Section>,
}

struct Section {
    name: String,
    offset: usize,
    size: usize,
}

impl<'a> Elf<'a> {
    /// Reads the section headers.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        if bytes.get(..6) != Some(b"\x7fELF\x02\x01") {
            bail!("no 64-bit little-endian ELF file");
        }
        let start = usize::try_from(number::<8>(bytes, 0x28)?)?;
        let size = usize::try_from(number::<2>(bytes, 0x3a)?)?;
        let count = usize::try_from(number::<2>(bytes, 0x3c)?)?;
        let names = usize::try_from(number::<2>(bytes, 0x3e)?)?;
        let mut raw = Vec::new();
        for at in (0..count).map(|index| start + index * size) {
            let name = usize::try_from(number::<4>(bytes, at)?)?;
            let offset = usize::try_from(number::<8>(bytes, at + 0x18)?)?;
            raw.push((name, offset, usize::try_from(number::<8>(bytes, at + 0x20)?)?));
        }
        let &(_, names, _) = raw.get(names).context("no section names")?;
        let mut sections = Vec::new();
        for (name, offset, size) in raw {
            sections.push(Section { name: string(bytes, names + name)?.to_owned(), offset, size });
        }
        Ok(Self { bytes, sections })
    }

    fn section(&self, name: &str) -> Result<&'a [u8]> {
        let section = self.sections.iter().find(|section| section.name == name);
        let section = section.with_context(|| format!("no section {name}"))?;
        self.bytes.get(section.offset..section.offset + section.size).context("a section is cut short")
    }

    /// A module's `key=value` pairs of this key.
    pub(crate) fn modinfo(&self, key: &str) -> Result<Vec<&'a str>> {
        let mut values = Vec::new();
        for pair in self.section(".modinfo")?.split(|&byte| byte == 0) {
            let pair = std::str::from_utf8(pair).context("modinfo is not UTF-8")?;
            if let Some((found, value)) = pair.split_once('=')
                && found == key
            {
                values.push(value);
            }
        }
        Ok(values)
    }

    /// The libraries that a program or library asks for, by soname.
    pub(crate) fn needed(&self) -> Result<Vec<&'a str>> {
        let strings = self.section(".dynstr")?;
        let mut names = Vec::new();
        for entry in self.section(".dynamic")?.chunks_exact(16) {
            if number::<8>(entry, 0)? == DT_NEEDED {
                names.push(string(strings, usize::try_from(number::<8>(entry, 8)?)?)?);
            }
        }
        Ok(names)
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u64> {
    let field = at.checked_add(N).and_then(|end| bytes.get(at..end)).context("the file is cut short")?;
    Ok(field.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

fn string(bytes: &[u8], at: usize) -> Result<&str> {
    let rest = bytes.get(at..).context("a string lies outside of the file")?;
    let end = rest.iter().position(|&byte| byte == 0).context("a string has no end")?;
    std::str::from_utf8(&rest[..end]).context("a string is not UTF-8")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A relocatable file with nothing but a `.modinfo` section.
    pub(crate) fn module(modinfo: &str) -> Vec<u8> {
        let names = b"\0.modinfo\0.shstrtab\0";
        let mut file = vec![0; 0x40];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let info = (1u32, file.len(), modinfo.len());
        file.extend(modinfo.as_bytes());
        let strings = (10u32, file.len(), names.len());
        file.extend(names);
        let start = file.len();
        for (name, offset, size) in [(0, 0, 0), info, strings] {
            let mut header = vec![0; 0x40];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(offset as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
            file.extend(header);
        }
        file[0x28..0x30].copy_from_slice(&(start as u64).to_le_bytes());
        file[0x3a] = 0x40;
        file[0x3c] = 3;
        file[0x3e] = 2;
        file
    }

    #[test]
    fn reads_modinfo() {
        let file = module("license=GPL\0depends=a,b\0softdep=pre: c\0softdep=post: d\0");
        let elf = Elf::parse(&file).unwrap();
        assert_eq!(elf.modinfo("depends").unwrap(), ["a,b"]);
        assert_eq!(elf.modinfo("softdep").unwrap(), ["pre: c", "post: d"]);
        assert!(elf.modinfo("alias").unwrap().is_empty());
        assert!(elf.needed().is_err());
    }

    #[test]
    fn a_cut_is_an_error_and_not_a_panic() {
        let file = module("depends=\0");
        let headers = file.len() - 3 * 0x40;
        for length in 0..file.len() {
            let read = Elf::parse(&file[..length]).and_then(|elf| elf.modinfo("depends").map(drop));
            assert!(read.is_err() || length > headers + 2 * 0x40, "{length}");
        }
    }
}
