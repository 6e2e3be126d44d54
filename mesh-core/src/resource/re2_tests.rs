use super::*;
use proptest::prelude::*;

#[test]
fn what_re2_takes_is_taken_and_means_the_same() {
    // An expression, texts that it matches as a whole, and texts that it does not.
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("", &[""], &["a"]),
        ("a|ab", &["a", "ab"], &["abc", "b"]),
        ("^(.*?;)?(user=jason)(;.*)?$", &["x=1;user=jason;y", "user=jason"], &["user=jasons"]),
        // Expressions that would be too large if their classes knew all of Unicode.
        (r"/users/\w{1,64}", &["/users/a_1"], &["/users/", "/users/\u{fc}", "/users/a/b"]),
        (r"[\w-]{1,63}", &["a-1_"], &["a.b"]),
        (r"\d{1,256}", &["0123456789"], &["\u{663}", ""]),
        (r"(\w+\.){1,1000}", &["a.b."], &["a.b"]),
        (".{1,1000}", &["x\u{fc}"], &[""]),
        (r"\pL{1,100}", &["a\u{fc}"], &["a1"]),
        // Classes are of ASCII.
        (r"\D\S\W\s", &["a\u{3000}\u{e9} "], &["1aa ", "aaa\u{3000}", "aa-\u{b}"]),
        (r"[^\D]+", &["12"], &["1a"]),
        (r"\bx\b.\B.y", &["x..y"], &["x.xy"]),
        (r"\x{e9}\b.*", &[], &["\u{e9} "]),
        (r"(?i)K", &["k", "\u{212a}"], &["x"]),
        // Braces that say nothing about repetition are text.
        ("/api/{id}/.*", &["/api/{id}/x"], &["/api/1/x"]),
        ("a{,3}{x}{", &["a{,3}{x}{"], &["aaa"]),
        ("a{01}", &["a{01}"], &["a"]),
        ("a{1,2}?b{2}c{1,}d{0}", &["aabbcc"], &["abbd", "abc"]),
        (r"\b{start}", &[], &["{start}"]),
        ("x\\b{1}.", &["x."], &["xx"]),
        // What means something else in classes of the crate.
        ("[[a]+", &["[a["], &["b"]),
        ("[a&&b]+", &["a&b"], &["c"]),
        ("[a~~b]+", &["a~b"], &["c"]),
        ("[]a]+", &["]a"], &["b"]),
        ("[^]a]+", &["bc"], &["]"]),
        ("[a-]+", &["a-"], &["b"]),
        ("[-a]+", &["a-"], &["b"]),
        ("[--/]+", &["-./"], &["0"]),
        (r"[\d-z]+", &["1-z"], &["a"]),
        ("[a-c-e]+", &["abc-e"], &["d"]),
        ("[[:alpha:][:^word:]-]+", &["ab-."], &["1", "_"]),
        ("[[:alpha]+", &["[:alph"], &["b"]),
        (r"[\]\[\-\^\\]+", &[r"][-^\"], &["a"]),
        (r"[\n\x41-\x{43}\101\pN\P{Greek}]+", &["\nABC1x"], &["\u{3b1}"]),
        ("[^a]", &["\n"], &["a", ""]),
        ("[\u{e9}-\u{ff}]", &["\u{fc}"], &["a"]),
        // Escapes.
        (r"\Qa.b\E", &["a.b"], &["axb"]),
        (r"\Qa.b*", &["a.b*"], &["axbb"]),
        (r"\Qab\E+\Q\E", &["abb"], &["abab"]),
        (r"\Q\Q\E", &[r"\Q"], &[""]),
        (r"\C\Cx", &["\u{e9}x", "abx"], &["ax"]),
        (r"\a\f\n\r\t\v\0\012\x7e\x{1F600}", &["\x07\x0c\n\r\t\x0b\0\n~\u{1f600}"], &[]),
        (r"\/\.\-\<\>\&\#\ \~", &["/.-<>&# ~"], &[]),
        (r"a<b>#&~ c", &["a<b>#&~ c"], &[]),
        (r"\p{Greek}\p{^Greek}\P{^Lu}\pN\p{Any}", &["\u{3b1}aA1x"], &["aaA1x"]),
        (r"\Aa\z", &["a"], &["ab"]),
        // Groups and flags.
        ("(?i:A)b(?-i)", &["ab", "Ab"], &["aB"]),
        ("(?i)a(?-i:b)|C", &["Ab", "c"], &["AB"]),
        ("(?s).(?-s).", &["\na"], &["\n\n"]),
        ("(?m)a$\n^b", &["a\nb"], &["ab"]),
        ("(?U)a+(?)b", &["aab"], &["b"]),
        ("(?P<a>x)(?<b1>y)(z)", &["xyz"], &["xy"]),
        ("(?P<1>x)", &["x"], &[]),
        ("(|a)*(b|)+()", &["aab", ""], &["ba"]),
        ("^*a$?", &["a"], &["^a"]),
        ("(a{10}){100}", &[], &["a"]),
    ];
    for (written, good, bad) in rows {
        let expression = Expression::whole(written).unwrap();
        good.iter().for_each(|text| assert!(expression.is_match(text), "{written:?} on {text:?}"));
        bad.iter().for_each(|text| assert!(!expression.is_match(text), "{written:?} on {text:?}"));
        assert_eq!(expression.to_string(), *written);
    }
}

#[test]
fn what_re2_refuses_is_refused() {
    let rows = [
        ("a(", "a ) is missing"),
        ("a)", "closes nothing"),
        ("a)|(?:b", "closes nothing"),
        ("[a", "] is missing"),
        ("[", "] is missing"),
        ("[]", "] is missing"),
        ("[a-", "] is missing"),
        ("[a--]", "a-- ends before it begins"),
        ("[z-a]", "z-a ends before it begins"),
        (r"[a-\d]", r"\d is not supported"),
        ("[[:foo:]]", "[:foo:] is no class"),
        (r"[\b]", r"\b is not supported"),
        (r"[\Qa\E]", r"\Q is not supported"),
        ("*", "missing expression"),
        ("a|*", "missing expression"),
        ("(+)", "missing expression"),
        ("{2}", "missing expression"),
        ("a**", "must not be repeated"),
        ("a*?+", "must not be repeated"),
        ("a{2}{3}", "must not be repeated"),
        ("a++", "must not be repeated"),
        ("a{3,2}", "{3,2} ends before it begins"),
        ("a{1001}", "more than 1000 times"),
        ("a{2,1001}", "more than 1000 times"),
        ("a{99999999999}", "more than 1000 times"),
        ("(a{10}b){101}", "more than 1000 times"),
        ("((a{10}){10}b|c{2}){11}", "more than 1000 times"),
        ("(?:a{1000}){1000}", "more than 1000 times"),
        ("\\", "ends in a backslash"),
        (r"(a)\1", r"\1 is not supported"),
        (r"\8", r"\8 is not supported"),
        (r"\u0041", r"\u is not supported"),
        (r"\U00000041", r"\U is not supported"),
        (r"\Z", r"\Z is not supported"),
        (r"\_", r"\_ is not supported"),
        ("\\\u{e9}", "is not supported"),
        (r"\x4", r"\x4 is not supported"),
        (r"\x{}", r"\x{} is not supported"),
        (r"\x{+1}", r"\x{+1} is not supported"),
        (r"\x{110000}", r"\x{110000} is not supported"),
        (r"\p{Letter", "is no class"),
        (r"\p{gc=Lu}", "is no class"),
        (r"\p{}", "is no class"),
        (r"\p", "is no class"),
        (r"\p{Klingon}", "property"),
        ("(?=a)", "after (?"),
        ("(?!a)", "after (?"),
        ("(?<=a)b", "after (?"),
        ("(?<!a)b", "after (?"),
        ("(?>a)", "after (?"),
        ("(?x)a b", "after (?"),
        ("(?u)a", "after (?"),
        ("(?-)a", "after (?"),
        ("(?i-)a", "after (?"),
        ("(?", "after (?"),
        ("(?P=a)", "after (?"),
        ("(?P<a)b", "no name of a group"),
        ("(?P<>b)", "no name of a group"),
        ("(?P<a-b>c)", "no name of a group"),
        ("(?P<a>b)(?<a>c)", "two groups"),
        (r"(\pL{100}\pN{100}){10}", "bytes of memory"),
    ];
    for (written, why) in rows {
        for refused in [Expression::whole(written).unwrap_err(), Expression::anywhere(written).unwrap_err()] {
            assert!(refused.contains(why), "{refused}");
            assert!(refused.starts_with(&format!("{written:?}")), "{refused}");
        }
    }
}

#[test]
fn groups_are_counted_as_they_are_written() {
    assert_eq!(Expression::anywhere(r"\b(a)(?:b)(?P<c>d)(?i:e)\B[(]\Q(\E").unwrap().groups(), 3);
}

/// Texts that are much like expressions.
fn expression() -> impl Strategy<Value = String> {
    let parts = vec![
        "(",
        ")",
        "[",
        "]",
        "[^",
        "{",
        "}",
        "{2}",
        "{1,3}",
        "{,2}",
        "*",
        "+",
        "?",
        "|",
        "^",
        "$",
        ".",
        "-",
        "&&",
        "~~",
        ":",
        "=",
        "!",
        "<",
        ">",
        "(?",
        "(?P<",
        "(?i:",
        "(?-s)",
        "[:",
        ":]",
        "[:alpha:]",
        "\\",
        "\\Q",
        "\\E",
        "\\b",
        "\\C",
        "\\d",
        "\\W",
        "\\s",
        "\\x",
        "\\x{",
        "\\p",
        "\\p{",
        "\\pL",
        "\\0",
        "\\12",
        "a",
        "b",
        "1",
        "z",
        "\u{e9}",
        "\u{1f600}",
        "\n",
        " ",
        "#",
        ",",
    ];
    prop::collection::vec(prop::sample::select(parts), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_expression_leads_to_a_panic(written in expression(), text in "[a-c1\u{e9}\\[{.]{0,6}") {
        if let Ok(whole) = Expression::whole(&written) {
            let anywhere = Expression::anywhere(&written).unwrap();
            prop_assert!(!whole.is_match(&text) || anywhere.is_match(&text), "{written:?} on {text:?}");
        }
    }

    #[test]
    fn any_text_leads_to_no_panic(written in any::<String>()) {
        let _ = Expression::whole(&written);
    }

    #[test]
    fn quoted_text_matches_itself_and_nothing_else(text in any::<String>(), other in any::<String>()) {
        prop_assume!(!text.contains("\\E"));
        let quoted = Expression::whole(&format!("\\Q{text}\\E")).unwrap();
        prop_assert!(quoted.is_match(&text) && quoted.is_match(&other) == (text == other));
    }
}
