//! What `/system/df` tells. bollard reads a later form of the answer alone, which no version that coracled speaks has.

use hyper::Method;
use serde::Deserialize;

use crate::{CallError, Client, client::PROBE, http};

impl Client {
    /// What images, containers and volumes take of the disk.
    pub async fn disk_use(&self) -> Result<DiskUse, CallError> {
        let answer = http::send(&self.endpoint().socket(), Method::GET, "/system/df", PROBE).await?;
        answer.json(PROBE).await
    }
}

/// What takes space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskUse {
    /// Of all images' layers together.
    pub layers_size: u64,
    /// Images.
    #[serde(deserialize_with = "null_is_none")]
    pub images: Vec<UsedImage>,
    /// Containers.
    #[serde(deserialize_with = "null_is_none")]
    pub containers: Vec<UsedContainer>,
    /// Volumes.
    #[serde(deserialize_with = "null_is_none")]
    pub volumes: Vec<UsedVolume>,
    /// The builder's cache.
    #[serde(deserialize_with = "null_is_none")]
    pub build_cache: Vec<UsedCache>,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UsedImage {
    /// Its id.
    pub id: String,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UsedContainer {
    /// Its id.
    pub id: String,
    /// What it wrote; none when only a running VM could tell.
    pub size_rw: Option<i64>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UsedVolume {
    /// Its name.
    pub name: String,
    /// Its use.
    pub usage_data: Option<VolumeSize>,
}

/// A volume's use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeSize {
    /// Its bytes; negative when they are not known.
    pub size: i64,
}

/// A piece of the builder's cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UsedCache {
    /// Its bytes.
    pub size: i64,
}

impl DiskUse {
    /// What all containers wrote; none when that of one of them is not known.
    #[must_use]
    pub fn container_bytes(&self) -> Option<i64> {
        self.containers.iter().map(|container| container.size_rw).sum()
    }

    /// What all volumes hold; none when that of one of them is not known.
    #[must_use]
    pub fn volume_bytes(&self) -> Option<i64> {
        let size = |volume: &UsedVolume| {
            volume.usage_data.as_ref().map(|usage| usage.size).filter(|&size| size >= 0)
        };
        self.volumes.iter().map(size).sum()
    }
}

fn null_is_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_nothing() {
        let told: DiskUse = serde_json::from_str(
            r#"{"LayersSize": 5, "Images": [{"Id": "sha256:1", "Size": 5}], "BuildCache": null,
                "Containers": [{"Id": "c1", "SizeRw": 7}, {"Id": "c2"}],
                "Volumes": [{"Name": "v1", "UsageData": {"RefCount": 1, "Size": 3}}]}"#,
        )
        .unwrap();
        assert_eq!((told.layers_size, told.images.len(), told.build_cache.len()), (5, 1, 0));
        assert_eq!((told.container_bytes(), told.volume_bytes()), (None, Some(3)));
        let unknown: DiskUse = serde_json::from_str(
            r#"{"Volumes": [{"Name": "v1", "UsageData": {"RefCount": 1, "Size": -1}}]}"#,
        )
        .unwrap();
        assert_eq!((unknown.container_bytes(), unknown.volume_bytes()), (Some(0), None));
    }
}
