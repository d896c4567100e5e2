//! `/coracle/images/{id}/archive`: a folder of an image, or a file, as a tar.

use std::io::{self, Write};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use http::request::Parts;
use tokio::sync::mpsc;

use super::contents::{AHEAD, PIECE_BYTES, pieces};
use super::{blocking, hold, path};
use crate::error::Answer;
use crate::params::Params;
use crate::state::Api;

/// `path` and `layer`.
pub(super) async fn archive(api: &Api, name: &str, params: &Params, request: &Parts) -> Answer<Response> {
    let (layer, path) = (params.number("layer")?, path(request));
    let held = hold(api, name).await?;
    // What is not there is refused here, where the answer still has its status.
    let (held, tree, path) = blocking(move || {
        let tree = held.tree(layer)?;
        tree.list(&images::browse::Listing { path: path.clone(), ..Default::default() })?;
        Ok((held, tree, path))
    })
    .await?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut out = Pieces { sender: sender.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
        let written = tree.write_tar(&path, &mut out);
        let ended = match written {
            Ok(()) => out.flush(),
            Err(images::browse::BrowseError::Cancelled) => Ok(()),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a folder of an image breaks off");
                Err(io::Error::other(error))
            }
        };
        if let Err(error) = ended {
            // Whether anybody still reads it matters to nobody.
            let _ = sender.blocking_send(Err(error));
        }
        drop((tree, held));
    });
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], pieces(receiver, api)).into_response())
}

/// Hands on what is written, in pieces.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.sender.blocking_send(Ok(Bytes::from(piece))).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
