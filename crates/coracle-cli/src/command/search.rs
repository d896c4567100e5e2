//! `coracle search`.

use std::collections::HashMap;

use bollard::query_parameters::SearchImagesOptionsBuilder;

use crate::args::Search;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

pub(crate) async fn run(search: Search, out: Output) -> Result<Exit, Failure> {
    let mut filters: HashMap<String, Vec<String>> = HashMap::new();
    for filter in &search.filter {
        let (name, value) = filter.split_once('=').unwrap_or((filter, ""));
        filters.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    let mut options = SearchImagesOptionsBuilder::new().term(&search.term).filters(&filters);
    if let Some(limit) = search.limit {
        options = options.limit(limit);
    }
    let found = super::connect().await?.docker()?.search_images(options.build()).await?;
    out.print(&found, |found| {
        let rows: Vec<_> = found
            .iter()
            .map(|one| {
                let official = if one.is_official.unwrap_or_default() { "[OK]" } else { "" };
                vec![
                    one.name.clone().unwrap_or_default(),
                    one.description.clone().unwrap_or_default(),
                    one.star_count.unwrap_or_default().to_string(),
                    official.to_owned(),
                ]
            })
            .collect();
        table(&["NAME", "DESCRIPTION", "STARS", "OFFICIAL"], &rows)
    })?;
    Ok(Exit::OK)
}
