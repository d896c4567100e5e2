//! `coracle images files`, `cat`, `layers` and `diff`.

use std::io::Write as _;

use client::{DiffLine, FileEntry, FileType, FilesQuery, ImageFiles, LayerInfo};

use crate::args::{ImageCat, ImageDiff, ImageFiles as FilesArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Output, line, size, table};

pub(crate) async fn files(args: FilesArgs, out: Output) -> Result<Exit, Failure> {
    let client = super::connect().await?;
    let path = super::path_bytes(&args.path);
    let query = FilesQuery { path: &path, layer: args.layer, ..FilesQuery::default() };
    let mut listed = client.image_files(&args.image, &query).await?;
    while let Some(after) = listed.next.take() {
        let query = FilesQuery { after: Some(&after), ..query.clone() };
        let more = client.image_files(&args.image, &query).await?;
        listed.entries.extend(more.entries);
        for layer in more.layers {
            if listed.layers.iter().all(|known| known.index != layer.index) {
                listed.layers.push(layer);
            }
        }
        listed.next = more.next;
    }
    out.print(&listed, |listed| {
        let ImageFiles { entry, entries, .. } = listed;
        let shown = if entry.file_type == FileType::Directory {
            entries.as_slice()
        } else {
            std::slice::from_ref(entry)
        };
        let rows: Vec<_> = shown.iter().map(row).collect();
        table(&["MODE", "OWNER", "SIZE", "MODIFIED", "LAYER", "NAME"], &rows)
    })?;
    Ok(Exit::OK)
}

fn row(entry: &FileEntry) -> Vec<String> {
    let amount = match entry.device {
        Some(device) => format!("{},{}", device.major, device.minor),
        None => size(entry.size_bytes),
    };
    vec![
        mode(entry),
        format!("{}:{}", entry.uid, entry.gid),
        amount,
        time(entry),
        entry.layer.to_string(),
        name(entry),
    ]
}

fn name(entry: &FileEntry) -> String {
    let mut text = printable(if entry.name.is_empty() { "/" } else { &entry.name });
    if let Some(target) = &entry.target {
        text.push_str(" -> ");
        text.push_str(&printable(target));
    }
    text
}

/// A name from an image must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// As `ls -l` writes it; `w` first is a whiteout.
fn mode(entry: &FileEntry) -> String {
    let kind = match entry.file_type {
        FileType::File => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::Whiteout => 'w',
        FileType::Unknown => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, executable, plain) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = entry.mode >> shift & 7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, entry.mode & special != 0) {
            (true, true) => executable,
            (false, true) => plain,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    if entry.opaque {
        text.push('o');
    }
    text
}

fn time(entry: &FileEntry) -> String {
    let time = jiff::Timestamp::new(entry.mtime_s, i32::try_from(entry.mtime_ns).unwrap_or_default());
    time.map_or_else(|_| entry.mtime_s.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

pub(crate) async fn cat(args: ImageCat) -> Result<Exit, Failure> {
    let path = super::path_bytes(&args.path);
    let query = FilesQuery { path: &path, layer: args.layer, ..FilesQuery::default() };
    let client = super::connect().await?;
    let mut file = match args.tar {
        true => client.image_archive(&args.image, &query).await?,
        false => client.image_file(&args.image, &query).await?,
    };
    let mut stdout = std::io::stdout().lock();
    while let Some(piece) = file.next().await? {
        stdout.write_all(&piece)?;
    }
    stdout.flush()?;
    Ok(Exit::OK)
}

pub(crate) async fn layers(image: &str, out: Output) -> Result<Exit, Failure> {
    let layers = super::connect().await?.image_layers(image).await?;
    out.print(&layers, |layers| {
        let rows: Vec<_> = layers.layers.iter().map(layer).collect();
        let mut text = table(&["LAYER", "SIZE", "COMPRESSED", "FILES", "WASTED", "CREATED BY"], &rows);
        text.push_str(&format!(
            "\n\n{} in files, {} of it hidden by later layers; efficiency {:.1} %",
            size(layers.content_bytes),
            size(layers.wasted_bytes),
            layers.efficiency * 100.0
        ));
        if !layers.wasted.is_empty() {
            let rows: Vec<_> = layers
                .wasted
                .iter()
                .take(10)
                .map(|wasted| {
                    let within: Vec<_> = wasted.layers.iter().map(usize::to_string).collect();
                    vec![
                        size(wasted.bytes),
                        wasted.files.to_string(),
                        within.join(","),
                        wasted.hidden_by.to_string(),
                        printable(&wasted.path),
                    ]
                })
                .collect();
            text.push_str("\n\n");
            text.push_str(&table(&["WASTED", "FILES", "IN", "HIDDEN BY", "PATH"], &rows));
        }
        text
    })?;
    Ok(Exit::OK)
}

fn layer(layer: &LayerInfo) -> Vec<String> {
    const COMMAND: usize = 60;
    let command = printable(layer.created_by.as_deref().unwrap_or_default());
    let command: Vec<_> = command.split_whitespace().collect();
    let command = command.join(" ");
    let short = if command.chars().count() > COMMAND {
        command.chars().take(COMMAND - 1).chain(['…']).collect()
    } else {
        command
    };
    vec![
        layer.index.to_string(),
        size(layer.size_bytes),
        size(layer.compressed_bytes),
        layer.files.to_string(),
        size(layer.wasted_bytes),
        short,
    ]
}

/// As `docker diff` prints it, with what differs behind: `A`, `D`, `C`.
pub(crate) async fn diff(args: ImageDiff, out: Output) -> Result<Exit, Failure> {
    let mut lines = super::connect().await?.image_diff(&args.a, &args.b).await?;
    let mut ended = false;
    while let Some(found) = lines.next().await? {
        if let DiffLine::Error { message } = found {
            return Err(Failure::new(message));
        }
        ended |= matches!(found, DiffLine::End { .. });
        if out.json {
            line(&serde_json::to_string(&found)?)?;
            continue;
        }
        match found {
            DiffLine::Added(found) => line(&format!("A {}", printable(&found.path)))?,
            DiffLine::Removed(found) => line(&format!("D {}", printable(&found.path)))?,
            DiffLine::Changed(found) => {
                line(&format!("C {} ({})", printable(&found.path), found.fields.join(", ")))?;
            }
            _ => {}
        }
    }
    if ended { Ok(Exit::OK) } else { Err(Failure::new("coracled broke the comparison off")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_ls() {
        let entry = |file_type, mode| FileEntry { file_type, mode, ..FileEntry::default() };
        for (file_type, bits, text) in [
            (FileType::File, 0o644, "-rw-r--r--"),
            (FileType::Directory, 0o1777, "drwxrwxrwt"),
            (FileType::File, 0o6755, "-rwsr-sr-x"),
            (FileType::Fifo, 0o4600, "prwS------"),
            (FileType::Whiteout, 0, "w---------"),
        ] {
            assert_eq!(mode(&entry(file_type, bits)), text);
        }
        let opaque = FileEntry { opaque: true, ..entry(FileType::Directory, 0o755) };
        assert_eq!(mode(&opaque), "drwxr-xr-xo");
    }

    #[test]
    fn names_do_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }
}
