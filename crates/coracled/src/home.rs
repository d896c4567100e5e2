//! `$CORACLE_HOME`: its folders and files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The state folder.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The folder given, or the platform's; made with everything in it that others expect.
    pub(crate) fn open(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let path = match given {
            Some(path) => std::path::absolute(path).context("the state folder")?,
            None => dirs::data_dir()
                .context("this system names no data folder for you; set CORACLE_HOME")?
                .join("coracle"),
        };
        let home = Self(path);
        for folder in
            [home.path(), &home.run(), &home.log(), &home.db(), &home.images(), &home.path().join("disks")]
        {
            make_private(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Between QEMU and us: the network card of published ports.
    pub(crate) fn card(&self) -> PathBuf {
        self.run().join("card.sock")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.0.join("db")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.0.join("settings.json")
    }

    /// Where the API is served.
    pub(crate) fn socket(&self) -> PathBuf {
        if cfg!(windows) { PathBuf::from(r"\\.\pipe\coracle") } else { self.run().join("docker.sock") }
    }

    /// A stable id of this installation; `/info` tells it.
    pub(crate) fn id(&self) -> anyhow::Result<String> {
        let path = self.0.join("id");
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            _ => {
                let id = types::ContainerId::random().to_string();
                fs::write(&path, &id).with_context(|| format!("writing {}", path.display()))?;
                Ok(id)
            }
        }
    }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}
