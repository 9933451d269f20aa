#![allow(clippy::unwrap_used)]

use super::*;

fn registry(more: &str) -> String {
    let (old, new, page, reader) =
        (sha256_hex(b"old"), sha256_hex(b"new"), sha256_hex(b"page"), sha256_hex(b"reader"));
    format!(
        r#"
        [[app]]
        name = "shop"
        networks = ["10.0.0.0/8", "::1/128"]
        origins = ["https://shop.example.com"]
        keys = [
            {{ sha256 = "{old}", expires = 2026-01-01T00:00:00Z }},
            {{ sha256 = "{new}" }},
            {{ sha256 = "{page}", browser = true }},
        ]
        [[reader]]
        name = "analytics"
        keys = [{{ sha256 = "{reader}" }}]
        {more}"#
    )
}

#[test]
fn keys_belong_to_their_owners_until_they_expire() {
    let apps = Apps::parse(&registry("")).unwrap();
    let expiry = 1_767_225_600;
    assert_eq!(apps.app_of_key(b"old", expiry - 1).unwrap().app.name, "shop");
    assert!(apps.app_of_key(b"old", expiry).is_none());
    assert!(!apps.app_of_key(b"new", expiry).unwrap().browser);
    assert!(apps.app_of_key(b"page", expiry).unwrap().browser);
    assert!(apps.app_of_key(b"reader", 0).is_none());
    assert_eq!(apps.reader_of_key(b"reader", 0).unwrap().1.name, "analytics");
    assert!(apps.reader_of_key(b"new", 0).is_none());
    assert!(apps.contains("shop") && !apps.contains("analytics"));
}

#[test]
fn networks_and_origins() {
    let apps = Apps::parse(&registry("")).unwrap();
    let shop = &apps.apps()[0];
    assert!(shop.allows_address("10.1.2.3".parse().unwrap()));
    assert!(shop.allows_address("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!shop.allows_address("192.0.2.1".parse().unwrap()));
    assert!(apps.allows_origin("https://shop.example.com") && !apps.allows_origin("https://example.com"));
}

#[test]
fn an_origin_is_written_as_browsers_send_it() {
    let parse = |origin: &str| Apps::parse(&format!("[[app]]\nname = \"a\"\norigins = [{origin:?}]"));
    for origin in
        ["*", "null", "https://a.b", "http://127.0.0.1:8090", "https://[::1]:8080", "capacitor://localhost"]
    {
        assert!(parse(origin).unwrap().allows_origin(origin), "{origin}");
    }
    for origin in [
        "",
        "a.b",
        "localhost:8090",
        "https://",
        "https://a.b/",
        "https://a.b/shop",
        "https://A.b",
        "https://*.a.b",
        "https://a.b:443",
        "http://a.b:80",
        " https://a.b",
        "https://\u{e4}.b",
    ] {
        let error = parse(origin).unwrap_err().to_string();
        assert!(error.contains(&format!("{origin:?} is no origin: write it as browsers do")), "{error}");
    }
}

#[test]
fn contradictions_are_refused_with_a_sentence() {
    for (more, expected) in [
        ("[[app]]\nname = \"shop\"", "two applications are called \"shop\""),
        ("[[app]]\nname = \"\"", "is no name"),
        ("[[app]]\nname = \"a\"\nrate = 0", "at least 1"),
        ("[[app]]\nname = \"a\"\ncolour = 1", "colour"),
        ("[[app]]\nname = \"a\"\nkeys = [{ sha256 = \"12\" }]", "64 hexadecimal digits"),
        (
            &*format!("[[app]]\nname = \"a\"\nkeys = [{{ sha256 = \"{}\" }}]", "+f".repeat(32)),
            "64 hexadecimal digits",
        ),
        (
            "[[app]]\nname = \"a\"\nkeys = [{ sha256 = \"12\", expires = 2026-01-01 }]",
            "64 hexadecimal digits",
        ),
    ] {
        let error = Apps::parse(&registry(more)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
