//! A body cut into its events, each a slice of the bytes that came.

use memchr::memchr;

use crate::json::{Fault, Scanned, past, scan, skip_white_space};

/// How events follow one another in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One event, or an array of events.
    Json,
    /// One event in each line; empty lines are skipped.
    Lines,
}

/// An event of a body, or the fault in its place.
pub type Item<'a> = Result<Scanned<'a>, Fault>;

/// Cuts a body into events, in order, at most `most`. In [`Form::Lines`] a bad line harms no other. In an array nobody
/// can tell apart what follows a syntax error: the items before it count, the rest is one error. An event that is only
/// nested too deep is an error of its own.
pub fn slice(body: &[u8], form: Form, most: usize) -> Vec<Item<'_>> {
    match form {
        Form::Lines => lines(body, most),
        Form::Json => {
            let start = skip_white_space(body, 0);
            match body.get(start) {
                Some(b'[') => array(body, start + 1, most),
                _ => vec![single(body, start)],
            }
        }
    }
}

fn single(body: &[u8], at: usize) -> Item<'_> {
    let (scanned, end) = scan(body, at)?;
    let rest = skip_white_space(body, end);
    match rest == body.len() {
        true => Ok(scanned),
        false => Err(Fault { at: rest, why: "something follows the event; several events go into an array" }),
    }
}

fn lines(body: &[u8], most: usize) -> Vec<Item<'_>> {
    let mut items = Vec::with_capacity((body.len() / 256 + 1).min(most));
    let mut start = 0;
    while start < body.len() && items.len() < most {
        let end = memchr(b'\n', &body[start..]).map_or(body.len(), |length| start + length);
        let line = &body[start..end];
        if skip_white_space(line, 0) < line.len() {
            items.push(single(line, 0));
        }
        start = end + 1;
    }
    items
}

fn array(body: &[u8], mut at: usize, most: usize) -> Vec<Item<'_>> {
    let mut items = Vec::with_capacity((body.len() / 256 + 1).min(most));
    let end = loop {
        if items.len() == most {
            return items;
        }
        let next = skip_white_space(body, at);
        if items.is_empty() && body.get(next) == Some(&b']') {
            break next + 1;
        }
        match scan(body, next) {
            Ok((scanned, end)) => {
                items.push(Ok(scanned));
                at = skip_white_space(body, end);
            }
            Err(fault) => {
                let end = fault.is_depth().then(|| past(body, next)).flatten();
                items.push(Err(fault));
                let Some(end) = end else { return items };
                at = skip_white_space(body, end);
            }
        }
        match body.get(at) {
            Some(b',') => at += 1,
            Some(b']') => break at + 1,
            _ => {
                items.push(Err(Fault { at, why: "a comma or a closing bracket is missing" }));
                return items;
            }
        }
    };
    let rest = skip_white_space(body, end);
    if rest < body.len() {
        items.push(Err(Fault { at: rest, why: "something follows the array" }));
    }
    items
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Each item as text, errors as `!why`.
    fn cut(body: &str, form: Form) -> Vec<String> {
        let show = |item: Item<'_>| match item {
            Ok(scanned) => String::from_utf8(scanned.bytes.to_vec()).unwrap(),
            Err(fault) => format!("!{}", fault.why),
        };
        slice(body.as_bytes(), form, usize::MAX).into_iter().map(show).collect()
    }

    #[test]
    fn one_event_or_an_array() {
        assert_eq!(cut(" {\"a\":1}\n", Form::Json), ["{\"a\":1}"]);
        assert_eq!(cut("[ {\"a\": 1} , 2,[3] ]\r\n", Form::Json), ["{\"a\": 1}", "2", "[3]"]);
        assert_eq!(cut("[]", Form::Json), [""; 0]);
        assert_eq!(cut("", Form::Json), ["!the value ends too early"]);
        assert_eq!(
            cut("{} {}", Form::Json),
            ["!something follows the event; several events go into an array"]
        );
    }

    #[test]
    fn the_rest_of_an_array_behind_an_error_is_one_error() {
        assert_eq!(cut("[1,x,2]", Form::Json), ["1", "!a value is missing"]);
        assert_eq!(cut("[1 2]", Form::Json), ["1", "!a comma or a closing bracket is missing"]);
        assert_eq!(cut("[1", Form::Json), ["1", "!a comma or a closing bracket is missing"]);
        assert_eq!(cut("[1,]", Form::Json), ["1", "!a value is missing"]);
        assert_eq!(cut("[1]2", Form::Json), ["1", "!something follows the array"]);
    }

    #[test]
    fn an_event_that_is_too_deep_harms_no_other() {
        let deep = format!("{{\"a\":{}\"]\\\"\"{}}}", "[".repeat(200), "]".repeat(200));
        let why = "!nested more than 127 deep";
        assert_eq!(cut(&format!("[1,{deep} ,{{\"b\":2}},{deep}]"), Form::Json), ["1", why, "{\"b\":2}", why]);
        assert_eq!(cut(&format!("[{}", "[".repeat(200)), Form::Json), [why]);
    }

    #[test]
    fn no_more_than_asked_for() {
        for (body, form) in [("1\n2\n3\n", Form::Lines), ("[1,2,3]", Form::Json)] {
            let all = |most| slice(body.as_bytes(), form, most).len();
            assert_eq!((all(2), all(3), all(4)), (2, 3, 3), "{form:?}");
        }
    }

    #[test]
    fn a_bad_line_harms_no_other() {
        let form = Form::Lines;
        assert_eq!(
            cut("{\"a\":1}\n\nx\r\n {\"b\":2} \r\n", form),
            ["{\"a\":1}", "!a value is missing", "{\"b\":2}"]
        );
    }

    proptest! {
        #[test]
        fn slices_join_to_the_input(events in prop::collection::vec("\\{\"k\":(\"[a-zé ]*\"|[1-9][0-9]{0,8}|\\[\\]|null)\\}", 1..20)) {
            prop_assert_eq!(&cut(&events.join("\n"), Form::Lines), &events);
            prop_assert_eq!(&cut(&format!("[{}]", events.join(" , ")), Form::Json), &events);
        }

        #[test]
        fn any_bytes_are_cut_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for form in [Form::Json, Form::Lines] {
                for scanned in slice(&body, form, usize::MAX).into_iter().flatten() {
                    let start = scanned.bytes.as_ptr() as usize - body.as_ptr() as usize;
                    prop_assert_eq!(&body[start..start + scanned.bytes.len()], scanned.bytes);
                }
            }
        }
    }
}
