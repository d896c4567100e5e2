//! One pull: from a reference to an image that a container can start from.
//!
//! ```text
//! manifest (of the index, the platform's) ─► configuration ─► pin layers ─► jobs of those that lack ─► commit ─► unpin
//! ```
//!
//! Runs as a task of its own, so that it always comes to its end, even when its caller goes away.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::try_join_all;
use oci_spec::image::ImageConfiguration;
use tokio_util::sync::CancellationToken;
use types::{Digest, Reference, Selector};

use crate::catalog::ImageRecord;
use crate::layer::{Jobs, Order, Subscription};
use crate::registry::{Descriptor, Document, Fetched, Session, compression_supported};
use crate::report::Reporter;
use crate::store::blocking;
use crate::works::{NewImage, Works};
use crate::{Image, Platform, PullError};

/// What is to be pulled.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) session: Arc<Session>,
    pub(crate) selector: Selector,
    /// For errors.
    pub(crate) name: String,
    /// The tag that is to lead to the image.
    pub(crate) reference: Option<Reference>,
    /// The repository whose digest is to be remembered.
    pub(crate) repository: Option<String>,
    /// Nothing: the guest's, but an image of a single other platform is taken.
    pub(crate) platform: Option<Platform>,
}

/// An image whose layers may still lack.
struct Resolved {
    new: NewImage,
    /// What the registry calls the whole, the index as it may be.
    digest: Digest,
    layers: Vec<Order>,
}

/// Pulls. Cleans up after itself whatever happens.
pub(crate) async fn run(
    works: Arc<Works>,
    jobs: Jobs,
    request: Request,
    mut reporter: Reporter,
    cancel: CancellationToken,
) -> Result<Image, PullError> {
    let resolved = tokio::select! {
        resolved = resolve(&works, &request) => resolved?,
        () = cancel.cancelled() => return Err(PullError::Cancelled),
    };
    // Not sooner, as in Docker: what fails up to here is told by a status, before any message.
    if let Some(reference) = &request.reference {
        reporter.begin(reference.tag().unwrap_or_default(), reference.repository()).await;
    }
    let diff_ids: Vec<Digest> = resolved.layers.iter().map(|order| order.diff_id).collect();
    {
        let (works, diff_ids) = (Arc::clone(&works), diff_ids.clone());
        blocking(move || works.pin(&diff_ids)).await?;
    }
    let outcome = complete(&works, &jobs, &request, resolved, &mut reporter, &cancel).await;
    let unpinned = blocking(move || works.unpin(&diff_ids)).await;
    let image = outcome?;
    unpinned?;
    Ok(image)
}

/// Layers, then the record.
async fn complete(
    works: &Arc<Works>,
    jobs: &Jobs,
    request: &Request,
    resolved: Resolved,
    reporter: &mut Reporter,
    cancel: &CancellationToken,
) -> Result<Image, PullError> {
    let Resolved { new, digest, layers } = resolved;
    let snapshot = works.catalog.snapshot();
    let lacking = {
        let (works, diff_ids) = (Arc::clone(works), new.record.diff_ids.clone());
        // One that fsck has found damaged lacks here, and is fetched anew.
        blocking(move || diff_ids.into_iter().filter(|d| !works.has_layer(d)).collect::<HashSet<_>>()).await
    };
    let known = lacking.is_empty()
        && snapshot.images.contains_key(&new.id)
        && new.reference.as_ref().is_none_or(|reference| snapshot.references.get(reference) == Some(&new.id));
    if !known {
        fetch(works, jobs, request, (&layers, &lacking), reporter, cancel).await?;
    }
    let image = {
        let works = Arc::clone(works);
        blocking(move || {
            // Of layers that came as other blobs of the same tar.
            works.forget_beginnings(layers.iter().map(|order| order.digest));
            works.commit(new)
        })
        .await?
    };
    reporter.end(&digest, &request.name, known).await;
    let malformed =
        || PullError::Malformed { what: "image configuration".into(), detail: "unreadable".into() };
    image.ok_or_else(malformed)
}

async fn fetch(
    works: &Arc<Works>,
    jobs: &Jobs,
    request: &Request,
    (layers, lacking): (&[Order], &HashSet<Digest>),
    reporter: &mut Reporter,
    cancel: &CancellationToken,
) -> Result<(), PullError> {
    let mut wanted: Vec<&Order> = Vec::new();
    for order in layers {
        if !lacking.contains(&order.diff_id) {
            reporter.layer(order, "Already exists").await;
        } else if !wanted.iter().any(|other| other.diff_id == order.diff_id) {
            reporter.layer(order, "Pulling fs layer").await;
            wanted.push(order);
        }
    }
    let mut subscriptions: Vec<(&Order, Subscription)> = Vec::with_capacity(wanted.len());
    for order in wanted {
        subscriptions.push((order, jobs.subscribe(works, order, Some(&request.session)).await));
    }
    let outcome = {
        let reporter = &*reporter;
        let all = try_join_all(subscriptions.iter_mut().map(|(order, subscription)| async move {
            reporter.follow(order, subscription).await.map_err(PullError::from)
        }));
        tokio::select! {
            all = all => all.map(drop),
            () = cancel.cancelled() => Err(PullError::Cancelled),
        }
    };
    if outcome.is_err() {
        // All are told first, then waited for.
        let leaving = subscriptions.into_iter().map(|(_, subscription)| subscription.leave());
        futures::future::join_all(leaving).await;
    }
    outcome
}

/// Everything about the image but its layers' bytes.
async fn resolve(works: &Arc<Works>, request: &Request) -> Result<Resolved, PullError> {
    let wanted = request.platform.clone().unwrap_or_else(Platform::guest);
    let mut fetched = request.session.manifest(&request.selector).await?;
    let digest = fetched.digest;
    let mut parsed = Document::parse(&fetched.bytes, &fetched.media_type, &request.name)?;
    let mut chosen = false;
    if let Document::Index(entries) = &parsed {
        let entry = Document::select(entries, &wanted)?;
        let what = format!("{} for {wanted}", request.name);
        fetched = match kept(works, entry.digest).await? {
            Some(fetched) => fetched,
            None => request.session.manifest(&Selector::Digest(entry.digest)).await?,
        };
        parsed = Document::parse(&fetched.bytes, &entry.media_type, &what)?;
        chosen = true;
    }
    let Document::Manifest(manifest) = parsed else {
        let detail = "an index within an index".to_owned();
        return Err(PullError::Malformed { what: request.name.clone(), detail });
    };
    let accepted =
        ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
    if !accepted.contains(&manifest.config.media_type.as_str()) {
        let what = format!("the configuration of {}", request.name);
        return Err(PullError::MediaType { what, media_type: manifest.config.media_type });
    }
    let id = manifest.config.digest;
    let config_bytes = config(works, request, id).await?;
    let malformed =
        |detail: String| PullError::Malformed { what: format!("image configuration {id}"), detail };
    let config_json = String::from_utf8(config_bytes).map_err(|error| malformed(error.to_string()))?;
    let config =
        ImageConfiguration::from_reader(config_json.as_bytes()).map_err(|e| malformed(e.to_string()))?;
    check_platform(request, &config, &wanted, chosen)?;
    let diff_ids = config.rootfs().diff_ids().iter().map(|text| text.parse::<Digest>());
    let diff_ids: Vec<Digest> = diff_ids.collect::<Result<_, _>>().map_err(|e| malformed(e.to_string()))?;
    if diff_ids.len() != manifest.layers.len() {
        let (names, blobs) = (diff_ids.len(), manifest.layers.len());
        return Err(malformed(format!("it names {names} layers, the manifest {blobs}")));
    }
    let layers = manifest.layers.into_iter().zip(&diff_ids).map(|(d, diff_id)| order(d, *diff_id));
    let layers = layers.collect::<Result<Vec<_>, _>>()?;
    let repo_digests = request.repository.iter().map(|name| format!("{name}@{digest}")).collect();
    let record = ImageRecord {
        manifest: fetched.digest,
        manifest_media_type: manifest.media_type,
        manifest_bytes: fetched.bytes.len() as u64,
        repo_digests,
        config_json,
        diff_ids,
        parent: None,
        tagged_unix: None,
    };
    let new = NewImage { id, record, manifest: fetched.bytes, reference: request.reference.clone() };
    Ok(Resolved { new, digest, layers })
}

fn order(descriptor: Descriptor, diff_id: Digest) -> Result<Order, PullError> {
    let Descriptor { media_type, digest, size, .. } = descriptor;
    if compression_supported(&media_type) {
        return Ok(Order { digest, blob_bytes: size, media_type, diff_id });
    }
    Err(PullError::MediaType { what: format!("layer {digest}"), media_type })
}

fn check_platform(
    request: &Request,
    config: &ImageConfiguration,
    wanted: &Platform,
    chosen: bool,
) -> Result<(), PullError> {
    let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
    if os != "linux" {
        return Err(PullError::OperatingSystem(os));
    }
    let asked = request.platform.is_some() && !chosen;
    if asked && !wanted.admits(&os, &architecture, config.variant().as_deref()) {
        let found = Box::new(Platform { os, architecture, variant: config.variant().clone() });
        let (reference, wanted) = (request.name.clone(), Box::new(wanted.clone()));
        return Err(PullError::PlatformMismatch { reference, found, wanted });
    }
    Ok(())
}

/// The manifest with this digest, if it is an image's that is here: what is known is not asked for again.
async fn kept(works: &Arc<Works>, digest: Digest) -> Result<Option<Fetched>, PullError> {
    let snapshot = works.catalog.snapshot();
    let Some(image) = snapshot.images.values().find(|image| image.manifest == digest) else {
        return Ok(None);
    };
    let media_type = image.manifest_media_type.clone();
    let works = Arc::clone(works);
    let limit_bytes = crate::registry::MANIFEST_LIMIT_BYTES;
    let read = blocking(move || works.content.read(&works.content.blob(&digest), limit_bytes)).await?;
    let whole = read.filter(|bytes| Digest::of(bytes) == digest);
    Ok(whole.map(|bytes| Fetched { bytes, media_type, digest }))
}

async fn config(works: &Arc<Works>, request: &Request, digest: Digest) -> Result<Vec<u8>, PullError> {
    let known = works.catalog.snapshot().images.get(&digest).map(|image| image.config_json.clone());
    match known.filter(|text| Digest::of(text.as_bytes()) == digest) {
        Some(text) => Ok(text.into_bytes()),
        None => request.session.config(digest).await,
    }
}
