//! Writes tar archives for tests, honest ones and others.

use super::header::{BLOCK, Block};

/// An entry to be written; pax headers are added for what ustar cannot say.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) path: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) data: Vec<u8>,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Spec {
    pub(crate) fn new(flag: u8, path: &str) -> Self {
        Self {
            path: path.into(),
            flag,
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (1_700_000_000, 0),
            data: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }

    pub(crate) fn file(path: &str, data: &[u8]) -> Self {
        Self { data: data.to_vec(), ..Self::new(b'0', path) }
    }

    pub(crate) fn link(flag: u8, path: &str, target: &str) -> Self {
        Self { link: target.into(), ..Self::new(flag, path) }
    }

    pub(crate) fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.push((name.into(), value.to_vec()));
        self
    }
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Archive(pub(crate) Vec<u8>);

impl Archive {
    pub(crate) fn of(specs: &[Spec]) -> Vec<u8> {
        let mut archive = Self::default();
        for spec in specs {
            archive.add(spec);
        }
        archive.end()
    }

    pub(crate) fn add(&mut self, spec: &Spec) {
        let mut pax = Vec::new();
        if spec.path.len() > 100 {
            record(&mut pax, b"path", &spec.path);
        }
        if spec.link.len() > 100 {
            record(&mut pax, b"linkpath", &spec.link);
        }
        for (key, id) in [("uid", spec.uid), ("gid", spec.gid)] {
            if id > 0o7_777_777 {
                record(&mut pax, key.as_bytes(), id.to_string().as_bytes());
            }
        }
        if spec.mtime.1 != 0 || spec.mtime.0 < 0 {
            let time = match spec.mtime {
                (s, 0) => s.to_string(),
                (s, ns) if s >= 0 => format!("{s}.{ns:09}"),
                (s, ns) => format!("-{}.{:09}", -(s + 1), 1_000_000_000 - ns),
            };
            record(&mut pax, b"mtime", time.as_bytes());
        }
        for (name, value) in &spec.xattrs {
            record(&mut pax, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        if !pax.is_empty() {
            self.block(&header(&Spec::new(b'x', "PaxHeaders/x"), pax.len() as u64));
            self.data(&pax);
        }
        self.block(&header(spec, spec.data.len() as u64));
        self.data(&spec.data);
    }

    pub(crate) fn block(&mut self, block: &Block) {
        self.0.extend_from_slice(block);
    }

    pub(crate) fn data(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

pub(crate) fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while body + length.to_string().len() != length {
        length += 1;
    }
    out.extend_from_slice(format!("{length} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A ustar header that claims `size` bytes of data.
pub(crate) fn header(spec: &Spec, size: u64) -> Block {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &spec.path[..spec.path.len().min(100)]);
    put(100, format!("{:07o}\0", spec.mode).as_bytes());
    put(108, format!("{:07o}\0", spec.uid & 0o7_777_777).as_bytes());
    put(116, format!("{:07o}\0", spec.gid & 0o7_777_777).as_bytes());
    put(124, format!("{:011o}\0", size & 0o77_777_777_777).as_bytes());
    put(136, format!("{:011o}\0", spec.mtime.0.max(0)).as_bytes());
    put(156, &[spec.flag]);
    put(157, &spec.link[..spec.link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, format!("{:07o}\0", spec.device.0).as_bytes());
    put(337, format!("{:07o}\0", spec.device.1).as_bytes());
    sealed(block)
}

/// With its checksum.
pub(crate) fn sealed(mut block: Block) -> Block {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
