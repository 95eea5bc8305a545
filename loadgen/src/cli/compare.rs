//! Two runs, side by side.

use std::path::Path;

use super::options::CompareOptions;
use super::{Error, print, usage};
use crate::output::{compare, json, plot};

pub(super) fn run(options: &CompareOptions) -> Result<(), Error> {
    if let Some(path) = &options.plot {
        plot::Kind::of(path).map_err(|error| usage(error.to_string()))?;
    }
    let (a, b) = (json::read(&options.a)?, json::read(&options.b)?);
    let name = |path: &Path| path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (a_name, b_name) = (name(&options.a), name(&options.b));
    print(&compare::compare((&a_name, &a), (&b_name, &b))?)?;
    if let Some(path) = &options.plot {
        plot::write_several(path, &[(&a_name, &a), (&b_name, &b)])?;
    }
    Ok(())
}
