//! Grammars that pass, and those that do not.

use super::*;

fn complaint(text: &str) -> String {
    check(text).expect_err(text)
}

#[test]
fn grammars_as_llama_cpp_writes_them_pass() {
    for text in [
        "root ::= \"yes\" | \"no\"",
        "# a comment\nroot  ::= (expr \"=\" ws term \"\\n\")+\nexpr  ::= term ([-+*/] term)*\n\
         term  ::= ident | num | \"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\n\
         num   ::= [0-9]+ ws\nws    ::= [ \\t\\n]*\r\n",
        "root ::= [^\"\\\\\\x7F\\u0000-\\u001F] {2,5} | \"\\U0001F600é\" . \"x\"{3} \"y\"{0} \"z\"{1,}",
        "root ::= (\n  \"a\" # first\n  | \"b\"\n)\n\n\n",
        "root ::= a |\n  b\na ::= \"a\"{0,2000}\nb ::= \"b\"{0,9999}",
        "root ::= (\"a\"* \"b\"?)*",
        "root ::= ",
        "root ::= \"\"",
    ] {
        assert_eq!(check(text), Ok(Tokens::default()), "{text}");
    }
    let tokens = check("root ::= <|think|> !<[7]>").unwrap();
    assert_eq!(tokens, Tokens { texts: vec!["<|think|>".into()], any: true });
}

#[test]
fn a_complaint_says_what_is_wrong_and_where() {
    for (text, says) in [
        ("root ::= <<<", "line 1, column 11: expected > after a token"),
        ("root = \"a\"", "line 1, column 6: expected ::="),
        ("root ::= \"a\"\n  é", "line 2, column 3: expected a name"),
        ("root ::= \"a", "line 1, column 12: it ends in the middle of a literal or a set"),
        ("root ::= [a", "line 1, column 12: it ends in the middle of a literal or a set"),
        ("root ::= []", "line 1, column 11: expected a character in the set"),
        ("root ::= \"\\q\"", "line 1, column 11: unknown escape"),
        ("root ::= \"\\x1\"", "line 1, column 11: expected 2 hexadecimal digits"),
        ("root ::= (\"a\"", "line 1, column 14: expected )"),
        ("root ::= \"a\")", "line 1, column 13: expected the end of the line, or more of the rule"),
        ("root ::= *", "line 1, column 11: nothing to repeat"),
        ("root ::= \"a\"{x}", "line 1, column 14: expected a number"),
        ("root ::= \"a\"{1;}", "line 1, column 15: expected }"),
        ("root ::= <[99999999999]>", "line 1, column 23: 99999999999 is too large for a token id"),
        ("root ::= other", "there is no rule other"),
        ("other ::= \"a\"", "there is no rule root, which an answer begins with"),
        ("", "there is no rule root, which an answer begins with"),
        ("root ::= \"a\0\"", "it holds a NUL character"),
    ] {
        assert_eq!(complaint(text), says, "{text}");
    }
}

#[test]
fn what_llama_cpp_would_not_survive_is_refused() {
    let begins = |rule: &str| format!("rule {rule} begins with itself (left recursion)");
    assert_eq!(complaint("root ::= root \"a\" | \"b\""), begins("root"));
    assert_eq!(complaint("root ::= a\na ::= \"x\"? b\nb ::= a"), begins("a"));
    let ways = "repeats what may be empty more than 4 times: write x{0,9} for (x?){9}";
    assert_eq!(complaint("root ::= b\nb ::= (\"a\"? c){5}\nc ::= | \"c\""), format!("rule b {ways}"));
    assert_eq!(complaint("root ::= (\"a\"?){0,100}"), format!("rule root {ways}"));
    // What may be repeated may be empty, and llama.cpp sees it.
    assert_eq!(complaint("root ::= (\"a\" | \"\")*"), begins("root"));
    // c may be empty, and so b may, which llama.cpp's own search does not see.
    assert_eq!(complaint("root ::= b root \"x\" | \"z\"\nb ::= c\nc ::= | \"y\""), begins("root"));
    assert!(complaint("root ::= \"a\"{3,1}").ends_with("less than the first"));
    assert!(complaint("root ::= \"a\"{1000000}").ends_with("1000000 repetitions, more than 2000"));
    assert!(complaint("root ::= (\"a\"{0,999}){0,999}").ends_with("makes more than 2000 rules"));
    assert!(complaint("root ::= \"a\"{99999999999999999999}").ends_with("is too large"));
    let long = format!("root ::= \"{}\"{{0,2000}}", "a".repeat(1000));
    assert!(complaint(&long).ends_with("more than 200000 elements"));
    let nested = format!("root ::= {}", "(".repeat(100_000));
    assert!(complaint(&nested).ends_with("more than 100 parentheses inside one another"));
    let chain: String = (0..9000).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect();
    let chain = format!("root ::= r0\n{chain}r9000 ::= \"a\"");
    assert_eq!(complaint(&chain), "there are too many ways to begin rule r5000");
    let doubling: String = (0..60).map(|i| format!("r{i} ::= r{0} | r{0}\n", i + 1)).collect();
    let doubling = format!("root ::= r0\n{doubling}r60 ::= \"a\"");
    assert_eq!(complaint(&doubling), "there are too many ways to begin rule r44");
    assert!(complaint(&" ".repeat(MAX_BYTES + 1)).starts_with("it is 262145 bytes long"));
}
