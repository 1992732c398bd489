//! Tricky forms of secrets, and text that only looks like them.

use super::*;

const HF: &str = "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh";

/// What each text is shown as.
#[track_caller]
fn shown_as(shown: impl Fn(&str) -> String, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(shown(text), *expected, "{text}");
        assert_eq!(
            shown(expected),
            *expected,
            "what is shown is shown so again"
        );
    }
}

#[test]
fn users_and_passwords_of_urls_are_hidden() {
    shown_as(
        in_text,
        &[
            ("https://u:p@h/x", "https://***@h/x"),
            ("HTTPS://U:P@H/x", "HTTPS://***@H/x"),
            ("https://u@h", "https://***@h"),
            ("https://u:p%40ss@h/a@b", "https://***@h/a@b"),
            ("https://u:p@ss@h/x", "https://***@h/x"),
            (
                "https://u:p@[2001:db8::1]:443/x",
                "https://***@[2001:db8::1]:443/x",
            ),
            ("s3://AK:w/J+r/K7@bucket/a", "s3://***@bucket/a"),
            (
                "url = 'https://u:p@h/x' AND w > 3",
                "url = 'https://***@h/x' AND w > 3",
            ),
            ("https://u:it's@h/x", "https://***@h/x"),
            (
                "https://a:1@h/x,ftp://b:2@i/y",
                "https://***@h/x,ftp://***@i/y",
            ),
            ("https://a:b@h,https://c:d@i", "https://***@h,https://***@i"),
            ("at https://u:p@h: refused", "at https://***@h: refused"),
        ],
    );
}

#[test]
fn urls_that_are_written_badly_hide_their_users_too() {
    shown_as(
        in_text,
        &[
            ("https://bob:p w@h/x", "https://***@h/x"),
            ("https://bob:p%20 w@h/x", "https://***@h/x"),
            ("'https://bob:p w@h/x' and y", "'https://***@h/x' and y"),
            ("https%3A%2F%2Fbob%3Ap%20w%40h", "https://***@h"),
            ("//bob:pw@h/x", "//***@h/x"),
            ("read '//bob:pw@h/x'", "read '//***@h/x'"),
            (r"\\bob:pw@h\x", r"\\***@h\x"),
            (r"https:\\bob:pw@h\x", r"https:\\***@h\x"),
            (r"https:\/\/bob:pw@h\/x", r"https:\/\/***@h\/x"),
            ("https:/bob:pw@h/x", "https:/***@h/x"),
            ("https:///bob:pw@h/x", "https:///***@h/x"),
            (r"s3:\\AK:pw@bucket", r"s3:\\***@bucket"),
        ],
    );
    for kept in [
        "//server/share/a@b",
        "file:///data/a:b@c/x",
        "dir//a:b@c",
        r"C:\dir\a@b",
        "https://h:8080: refused, ask a@b.c",
        "https://h: refused, ask a@b.c",
        "https://h/x y@z",
        "a / b : c @ d",
    ] {
        shown_as(in_text, &[(kept, kept)]);
    }
}

#[test]
fn secret_parameters_of_urls_are_hidden() {
    shown_as(
        in_text,
        &[
            (
                "https://b.s3.amazonaws.com/a.parquet?X-Amz-Date=1&X-Amz-Credential=A%2Fb&X-Amz-Signature=0f&x=1",
                "https://b.s3.amazonaws.com/a.parquet?X-Amz-Date=1&X-Amz-Credential=***&X-Amz-Signature=***&x=1",
            ),
            (
                "h?x-amz-security-token=a/b+c==&k=1",
                "h?x-amz-security-token=***&k=1",
            ),
            (
                "?AWSAccessKeyId=A&Expires=1&Signature=b%3D",
                "?AWSAccessKeyId=***&Expires=1&Signature=***",
            ),
            (
                "gs://b?X-GOOG-SIGNATURE=ab#x",
                "gs://b?X-GOOG-SIGNATURE=***#x",
            ),
            (
                "https://a.net/c?sv=2024&sp=r&sig=a%2Bb%3D",
                "https://a.net/c?sv=2024&sp=r&sig=***",
            ),
            (
                "https://h/My File?X%2DAmz%2DSignature=0f",
                "https://h/My File?X%2DAmz%2DSignature=***",
            ),
            ("https://h/?a=1&amp;sig=b", "https://h/?a=1&amp;sig=***"),
            (r"https://h/?a=1\u0026sig=b", r"https://h/?a=1\u0026sig=***"),
            (
                "https://h/#access_token=b&c=1",
                "https://h/#access_token=***&c=1",
            ),
            ("https://h/?sig=a?b", "https://h/?sig=***"),
            (
                "https://h/cb?code=a1&session=b&page=2",
                "https://h/cb?code=***&session=***&page=2",
            ),
            (
                "https://h/?x=1&Session_Key=b&otp=3#code=4",
                "https://h/?x=1&Session_Key=***&otp=***#code=***",
            ),
            ("'https://h/?token=a' = url", "'https://h/?token=***' = url"),
            ("https://h/?token=a'b", "https://h/?token=***"),
            (
                "\"n\" = 'https://h/?token=a' AND x",
                "\"n\" = 'https://h/?token=***' AND x",
            ),
            ("https://h/?token=&x=1", "https://h/?token=&x=1"),
            ("https://h/?sig=a,https://i/?sig=b", "https://h/?sig=***"),
        ],
    );
}

#[test]
fn encoded_urls_are_shown_plain_where_they_hold_secrets() {
    shown_as(
        in_text,
        &[
            ("https%3A%2F%2Fu%3Ap%40h%2Fx end", "https://***@h/x end"),
            (
                "https://h/?to=https%3A%2F%2Fu%3Ap%40i&a=1",
                "https://h/?to=https://***@i&a=1",
            ),
            ("%2Fx%3Fa%3D1%26sig%3Db", "/x?a=1&sig=***"),
            ("%252Fx%253Fsig%253Db", "/x?sig=***"),
            ("https%3A%2F%2Fh%2Fx", "https%3A%2F%2Fh%2Fx"),
            (
                "caption LIKE '%a=100%' OR '%4'",
                "caption LIKE '%a=100%' OR '%4'",
            ),
        ],
    );
}

#[test]
fn tokens_are_hidden_wherever_they_stand() {
    let jwt = format!("eyJ{}.eyJ{}.x", "a".repeat(40), "b-".repeat(30));
    let cases = [
        (HF.to_owned(), "hf_***"),
        (format!("/models/{HF}/onnx"), "/models/hf_***/onnx"),
        (format!("a%2F{HF}"), "a%2Fhf_***"),
        (format!("x-{HF}, {HF}"), "x-hf_***, hf_***"),
        (
            format!("Authorization: bearer {jwt}"),
            "Authorization: bearer ***",
        ),
        (format!("'{jwt}'"), "'eyJ***'"),
        ("Bearer 0123456789abcdef".to_owned(), "Bearer ***"),
        ("Bearer S3CRETBEAR".to_owned(), "Bearer ***"),
        ("a bearer of news".to_owned(), "a bearer of news"),
        (
            "authorization=Basic dXNlcjpwYXNz".to_owned(),
            "authorization=Basic ***",
        ),
    ];
    for (text, expected) in &cases {
        shown_as(in_text, &[(text, expected)]);
    }
    assert!(!in_message("Authorization: Bearer x").contains('x'));
}

#[test]
fn settings_are_hidden_in_messages_and_stay_in_conditions() {
    shown_as(
        in_message,
        &[
            ("account_key=a b", "account_key=***"),
            (
                "invalid value 'token=a b' for",
                "invalid value 'token=***' for",
            ),
            (
                "set aws_secret_access_key=a/b now",
                "set aws_secret_access_key=*** now",
            ),
            ("password= and token = 'x'", "password= and token = 'x'"),
            (
                "tokens=3 tokenizer=bpe keep=0.3",
                "tokens=3 tokenizer=bpe keep=0.3",
            ),
        ],
    );
    for kept in [
        "token=x",
        "code=x AND session = 'y'",
        "https://h/?postcode=1&sessions=2",
        "password = 'x'",
        "n=1",
        "a@b.c",
        "https://h:80/a@b?c=d",
        "://",
        "=%=%zz",
        "é=ü%",
    ] {
        shown_as(in_text, &[(kept, kept)]);
    }
}

#[test]
fn logins_without_a_scheme_are_hidden_in_messages_and_stay_in_conditions() {
    shown_as(
        in_message,
        &[
            ("u:SECRET@h", "***@h"),
            (
                "no column 'u:p:w@h.example': name",
                "no column '***@h.example': name",
            ),
            ("--add=bob:pw@h,ann:pw@[::1]", "--add=***@h,***@[::1]"),
            ("é bob:p%40w@é.example", "é ***@é.example"),
            ("https://u:p@h/x", "https://***@h/x"),
        ],
    );
    for kept in [
        "a@b.c, mailto:a@b.c",
        "hf:name@main hf:org/name@main",
        "git@github.com:org/name",
        "C:/a@b data/x:1/a@b",
        "12:30 @ noon, 12:30@ noon, :@h, u:@h",
    ] {
        shown_as(in_message, &[(kept, kept)]);
    }
    shown_as(in_text, &[("text = 'u:p@h'", "text = 'u:p@h'")]);
}

#[test]
fn a_command_line_keeps_all_but_secrets() {
    let words = |line: &str| in_words(line.split(' ').map(Cow::from));
    shown_as(
        words,
        &[
            ("p in out --keep 0.3", "p in out --keep 0.3"),
            ("p --hub-token abc in", "p --hub-token *** in"),
            ("p --hub-token=abc in", "p --hub-token=*** in"),
            (
                "p --storage-option account_key=a=b x",
                "p --storage-option account_key=*** x",
            ),
            (
                "p --storage-option=AWS_SECRET_ACCESS_KEY=a",
                "p --storage-option=AWS_SECRET_ACCESS_KEY=***",
            ),
            (
                "p --storage-option region=eu",
                "p --storage-option region=eu",
            ),
            ("p --password --json", "p --password --json"),
            (
                "p --where token='x' --where=password=n",
                "p --where token='x' --where=password=n",
            ),
            ("p https://u:p@h/x?sig=a", "p https://***@h/x?sig=***"),
            ("p u:p@h/x --balance=u:p@h", "p ***@h/x --balance=***@h"),
            ("p --where text='u:p@h'", "p --where text='u:p@h'"),
        ],
    );
}

#[test]
fn a_file_is_the_same_whoever_asks_for_it() {
    let cases = [
        ("https://u:p@h/a.parquet", "https://h/a.parquet"),
        (
            "https://h/a?X-Amz-Date=1&X-Amz-Expires=2&versionId=3&X-Amz-Signature=4",
            "https://h/a?versionId=3",
        ),
        (
            "https://h/a?AWSAccessKeyId=A&Expires=1&Signature=b",
            "https://h/a",
        ),
        ("https://h/a?sv=1&sr=b&se=2&sig=x%2F", "https://h/a"),
        (
            "https://h/a?Expires=1&Policy=x",
            "https://h/a?Expires=1&Policy=x",
        ),
        ("abfss://box@account.net/a", "abfss://box@account.net/a"),
        ("s3://b/x?y=1", "s3://b/x?y=1"),
        ("dir/a@b?sig=1.parquet", "dir/a@b?sig=1.parquet"),
    ];
    shown_as(without_credentials, &cases);
}

#[test]
fn texts_that_differ_in_secrets_stay_two() {
    assert_eq!(told_apart("w > 3"), "w > 3");
    let [one, other] = ["https://u:1@h", "https://u:2@h"].map(told_apart);
    assert!(one.starts_with("https://***@h #") && one != other);
}

#[test]
fn text_of_any_size_takes_time_in_proportion() {
    // Quadratic work on these would take hours.
    for part in [
        "x://a:b/", "&sig=", "'=", "hf_", "bearer ", "%25", "a@://", "%3D%26", "//a:b ", "\\\\",
        "//",
    ] {
        let text = part.repeat(20_000);
        assert!(!in_message(&text).is_empty());
    }
}
