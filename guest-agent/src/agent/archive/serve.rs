//! The streams: opening frame, answer, bytes.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use agent_proto::v1::error_detail::Code;
use agent_proto::{v1, write_frame};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::oneshot;
use transport::Stream;

use super::pack::Packer;
use super::pipe::{self, Out};
use super::unpack::{Rules, Unpacker};
use super::view::{self, Held, Root};
use super::{changes, path};
use crate::agent::failure::Failure;
use crate::agent::guest::{Guest, blocking, container_key};
use crate::agent::user;
use crate::paths;

pub(super) type Answer = oneshot::Sender<Result<Option<v1::PathStat>, Failure>>;

pub(super) async fn say(
    stream: &mut Stream,
    result: Result<Option<v1::PathStat>, Failure>,
) -> anyhow::Result<()> {
    let opened = match result {
        Ok(stat) => v1::StreamOpened { stat, ..Default::default() },
        Err(failure) => v1::StreamOpened { error: Some(failure.into()), ..Default::default() },
    };
    Ok(write_frame(stream, &opened).await?)
}

/// Runs `work` in a thread of its own: it may leave the others' mount namespace.
fn alone<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("archive".to_owned()).spawn(move || {
        let _ = done.send(work());
    })?;
    Ok(result)
}

type Find = fn(&Arc<Guest>, &str, &[v1::Layer]) -> Result<Held, Failure>;

async fn hold(
    guest: &Arc<Guest>,
    container: &str,
    layers: Vec<v1::Layer>,
    find: Find,
) -> Result<Held, Failure> {
    guest.at_rest(container).await?;
    let (guest, container) = (Arc::clone(guest), container.to_owned());
    blocking(move || find(&guest, &container, &layers)).await
}

/// Unmounting takes its time.
fn let_go(held: Option<Held>) {
    tokio::task::spawn_blocking(move || drop(held));
}

/// Sends the answer of `working`, then what it writes; afterwards nothing works any more. An archive that breaks
/// off lacks its end, by which the host knows.
pub(super) async fn produce(
    mut stream: Stream,
    work: impl FnOnce(Answer, Out) + Send + 'static,
) -> anyhow::Result<()> {
    let (answer, answered) = oneshot::channel();
    let (out, chunks) = pipe::out();
    let working = alone(move || work(answer, out))?;
    let sent = async {
        let result = answered.await.unwrap_or_else(|_| Err(Failure::internal("archive", "it broke off")));
        let refused = result.is_err();
        say(&mut stream, result).await?;
        if !refused {
            pipe::send(&mut stream, chunks).await?;
            stream.shutdown().await?;
        }
        anyhow::Ok(())
    };
    let sent = sent.await;
    let _ = working.await;
    sent
}

pub(super) fn end(what: &'static str, container: &str, result: io::Result<()>) {
    match result {
        // The host's client went away.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => tracing::warn!(container, %error, "{what} broke off"),
        Ok(()) => {}
    }
}

/// The last part of a path, as Go's `filepath.Base` has it.
pub(super) fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
    if end == 0 {
        return b"/";
    }
    let start = path[..end].iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    &path[start..end]
}

pub(super) fn stat(root: &File, file: &File, path: &str) -> Result<v1::PathStat, Failure> {
    let fail = |error: io::Error| Failure::internal("stat", error);
    let stat = fstat(file).map_err(|error| fail(error.into()))?;
    let link = path::kind(&stat) == SFlag::S_IFLNK;
    let target = if link { path::follow(root, OsStr::new(path)).map_err(fail)? } else { Default::default() };
    Ok(v1::PathStat {
        name: String::from_utf8_lossy(base(path.as_bytes())).into_owned(),
        size_bytes: stat.st_size,
        mode: stat.st_mode,
        mtime_unix_ns: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec),
        link_target: target.to_string_lossy().into_owned(),
    })
}

pub(super) fn open(root: &File, path: &str) -> Result<File, Failure> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    path::open(root, OsStr::new(path), flags).map_err(|error| match error {
        Errno::ENOENT => Failure::new(Code::NoSuchPath, format_args!("{path}: no such file or directory")),
        Errno::ENOTDIR => Failure::new(Code::NotADirectory, format_args!("{path}: not a directory")),
        other => Failure::internal(path, other.desc().to_lowercase()),
    })
}

/// Serves `ArchiveGet`.
pub(crate) async fn get(
    mut stream: Stream,
    guest: &Arc<Guest>,
    request: v1::ArchiveGet,
) -> anyhow::Result<()> {
    let v1::ArchiveGet { container_id, layers, path, stat_only, mounts } = request;
    let (mut held, root) = match hold(guest, &container_id, layers, Held::of).await.and_then(taken) {
        Ok(held) => held,
        Err(failure) => return say(&mut stream, Err(failure)).await,
    };
    let produced = produce(stream, move |answer, out| {
        let opened = root.open(&mounts).and_then(|root| {
            let file = open(&root, &path)?;
            let stat = stat(&root, &file, &path)?;
            Ok((file, stat))
        });
        match opened {
            Ok((file, stat)) => {
                if answer.send(Ok(Some(stat))).is_err() || stat_only {
                    return;
                }
                let mut packer = Packer::new(out);
                let done = packer.add(&file, base(path.as_bytes())).and_then(|()| packer.finish());
                end("archive", &container_id, done);
            }
            Err(failure) => drop(answer.send(Err(failure))),
        }
    });
    let produced = produced.await;
    let_go(held.take());
    produced
}

fn taken(mut held: Held) -> Result<(Option<Held>, Root), Failure> {
    let root = held.root()?;
    Ok((Some(held), root))
}

/// Serves `Export`.
pub(crate) async fn export(
    mut stream: Stream,
    guest: &Arc<Guest>,
    request: v1::Export,
) -> anyhow::Result<()> {
    if request.changes_only {
        if let Err(failure) = guest.at_rest(&request.container_id).await {
            return say(&mut stream, Err(failure)).await;
        }
        let its = Arc::clone(guest);
        return produce(stream, move |answer, out| changed(&its, &request, answer, out)).await;
    }
    let container = request.container_id;
    let (mut held, root) =
        match hold(guest, &container, request.layers, Held::without_mounts).await.and_then(taken) {
            Ok(held) => held,
            Err(failure) => return say(&mut stream, Err(failure)).await,
        };
    let produced = produce(stream, move |answer, out| match root.open(&[]) {
        Ok(root) => {
            let _ = answer.send(Ok(None));
            let mut packer = Packer::new(out);
            let done = packer.add(&root, b"").and_then(|()| packer.finish());
            end("export", &container, done);
        }
        Err(failure) => drop(answer.send(Err(failure))),
    });
    let produced = produced.await;
    let_go(held.take());
    produced
}

fn changed(guest: &Arc<Guest>, request: &v1::Export, answer: Answer, out: Out) {
    match upper(guest, request) {
        Ok((image, upper)) => {
            let _ = answer.send(Ok(None));
            let skip = |path: &OsStr, stat: &_| changes::is_mount_point(&image, path, stat);
            let mut packer = Packer::of_upper(out, &skip);
            let done = upper.map_or(Ok(()), |upper| packer.add(&upper, b""));
            end("commit", &request.container_id, done.and_then(|()| packer.finish()));
        }
        Err(failure) => drop(answer.send(Err(failure))),
    }
}

/// The image, and what the container put over it; nothing when it never ran.
fn upper(guest: &Arc<Guest>, request: &v1::Export) -> Result<(File, Option<File>), Failure> {
    let key = container_key(&request.container_id)?;
    let image = view::image(guest, &request.layers)?;
    match File::open(paths::data_dir(&key.container).join("upper")) {
        Ok(upper) => Ok((image, Some(upper))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((image, None)),
        Err(error) => Err(Failure::internal("upper layer", error)),
    }
}

/// Serves `ArchivePut`.
pub(crate) async fn put(
    mut stream: Stream,
    guest: &Arc<Guest>,
    mut request: v1::ArchivePut,
) -> anyhow::Result<()> {
    let layers = std::mem::take(&mut request.layers);
    let (mut held, root) = match hold(guest, &request.container_id, layers, Held::of).await.and_then(taken) {
        Ok(held) => held,
        Err(failure) => return say(&mut stream, Err(failure)).await,
    };
    let unpacked = consume(stream, move || {
        let root = root.open(&request.mounts)?;
        let rules = rules(&root, &request)?;
        Unpacker::new(root, OsStr::from_bytes(request.path.as_bytes()), rules)
    });
    let unpacked = unpacked.await;
    let_go(held.take());
    unpacked
}

/// Answers whether `begin` could, unpacks what comes, and answers how that went.
pub(super) async fn consume(
    mut stream: Stream,
    begin: impl FnOnce() -> Result<Unpacker, Failure> + Send + 'static,
) -> anyhow::Result<()> {
    let (answer, answered) = oneshot::channel::<Result<Option<v1::PathStat>, Failure>>();
    let (sender, input) = pipe::input();
    let working = alone(move || match begin() {
        Ok(unpacker) => {
            let _ = answer.send(Ok(None));
            unpacker.run(input)
        }
        Err(failure) => {
            drop(answer.send(Err(failure)));
            Ok(())
        }
    })?;
    let taken = async {
        let result = answered.await.unwrap_or_else(|_| Err(Failure::internal("archive", "it broke off")));
        let refused = result.is_err();
        say(&mut stream, result).await?;
        if !refused {
            pipe::receive(&mut stream, sender).await;
        }
        anyhow::Ok(refused)
    };
    let taken = taken.await;
    let unpacked = working.await.unwrap_or_else(|_| Err(Failure::internal("archive", "it broke off")));
    if taken? {
        return Ok(());
    }
    say(&mut stream, unpacked.map(|()| None)).await?;
    Ok(stream.shutdown().await?)
}

fn rules(root: &File, request: &v1::ArchivePut) -> Result<Rules, Failure> {
    let owner = if request.copy_uid_gid && !request.user.is_empty() {
        let user =
            user::find(root, &request.user, &[]).map_err(|error| Failure::new(Code::NoSuchUser, error))?;
        Some((user.uid, user.gid))
    } else {
        None
    };
    Ok(Rules { keep_kinds: request.no_overwrite_dir_non_dir, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_gos() {
        for (path, expected) in
            [("/", "/"), ("", "/"), ("/a/b", "b"), ("/a/b/", "b"), ("/a/.", "."), ("a", "a"), ("//", "/")]
        {
            assert_eq!(base(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }
}
