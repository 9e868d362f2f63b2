//! What the tests of plots look at.

use super::records::Trace;
use crate::failure::{Failure, Outcome};
use crate::input::Source;

/// The trace of these lines.
pub fn parse(lines: &[String]) -> Outcome<Trace> {
    Trace::parse(Source::new("t.jsonl", lines.join("\n")))
}

/// The picture, or the reason why there is none.
pub fn drawn<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Ok(drawn) => drawn,
        Err(Failure::Usage(message) | Failure::Failed(message)) => panic!("{message}"),
        Err(Failure::Interrupted) => panic!("interrupted"),
    }
}

/// The message of a failure.
pub fn refused<T>(outcome: Outcome<T>) -> String {
    match outcome {
        Err(Failure::Usage(message) | Failure::Failed(message)) => message,
        Err(Failure::Interrupted) => panic!("interrupted"),
        Ok(_) => panic!("not refused"),
    }
}

/// Every text in an SVG, in its order.
pub fn texts(svg: &str) -> Vec<String> {
    let pieces = svg.split("<text").skip(1);
    pieces
        .map(|piece| {
            let (_, rest) = piece.split_once('>').unwrap();
            let (text, _) = rest.split_once("</text>").unwrap();
            text.trim_matches('\n').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        })
        .collect()
}

/// How often a piece of markup is there.
pub fn count(svg: &str, piece: &str) -> usize {
    svg.matches(piece).count()
}

/// A record as `--trace` writes it; the token is 5.
pub fn token(arm: &str, step: usize, text: &str) -> String {
    let text = serde_json::Value::from(text);
    let js = 0.1 + 0.01 * step as f64;
    format!(r#"{{"type":"token","arm":"{arm}","step":{step},"token":5,"text":{text},"js":{js},"#)
        + r#""temperature":0.5,"guidance":1.5,"logprob_plain":-2.5,"logprob_instructed":-1.25,"#
        + r#""top_plain":[[6,"b",-0.25],[7," <c>",-3.0]],"top_instructed":[[5,"a",-0.5],[6,"b",-1.5]],"#
        + r#""top_steered":[[5,"a",-0.5],[8,"d",-2.0]]}"#
}

/// A judge's record.
pub fn judge(score: Option<f64>) -> String {
    match score {
        Some(score) => {
            format!(
                r#"{{"type":"judge","score":{score},"samples":[{score}],"judge":{{"name":"m at h","ms":9,"attempts":1,"#
            ) + r#""cached":false,"spread":0.5}}"#
        }
        None => {
            r#"{"type":"judge","score":null,"samples":null,"error":"no <score>","on_failure":"plain","#
                .to_owned()
                + r#""judge":{"name":"m at h","ms":9}}"#
        }
    }
}

/// The record at the end of an answer.
pub fn answer(arm: &str) -> String {
    format!(
        r#"{{"type":"answer","arm":"{arm}","text":"a","tokens":1,"finish":"eog","mean_js":0.1,"score":null,"#
    ) + r#""seed":7,"prompt":{"shared":1,"decoded":2,"reused":0},"ms":{"prefill":1,"decode":2,"sample":3}}"#
}
