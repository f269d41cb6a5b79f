//! Suggestions for mistyped names.

/// Names farther than this from what was typed are not suggested.
const LEAST_SIMILARITY: f64 = 0.7;

/// Longer ones are no mistyped names; comparing them would take quadratic time.
const MAX_BYTES: usize = 100;

/// The nearest of `known`, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known = known.into_iter().filter(|known| known.len().max(name.len()) <= MAX_BYTES);
    let similarity = |known: &str| strsim::jaro_winkler(known, name);
    let nearest = known.max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    nearest.filter(|known| similarity(known) > LEAST_SIMILARITY)
}

/// The nearest of `known` in words: ` (did you mean …?)`, or nothing.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or(String::new(), |known| format!(" (did you mean `{known}`?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(nearest("virtul-m4", ["resnet-8", "virtual-m4"]), Some("virtual-m4"));
        assert_eq!(did_you_mean("xyz", ["resnet-8", "virtual-m4"]), "");
    }

    #[test]
    fn nothing_is_suggested_for_a_whole_page() {
        let page = "ab".repeat(1 << 20);
        assert_eq!(nearest(&page, [page.as_str()]), None);
    }
}
