//! The field `instruction` of a record: a text, or a list of texts, of which each may have a weight.

use std::fmt;

use sda::text::Instruction;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Instructions with their weights; a text is one of weight 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Instructions(pub Vec<Instruction>);

impl<'de> Deserialize<'de> for Instructions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(All)
    }
}

struct All;

impl<'de> Visitor<'de> for All {
    type Value = Instructions;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text, or a list of texts and of {\"text\", \"weight\"}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Instructions, E> {
        Ok(Instructions(vec![Instruction::new(text)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Instructions, A::Error> {
        let mut all = Vec::new();
        while let Some(One(instruction)) = list.next_element()? {
            all.push(instruction);
        }
        if all.is_empty() {
            return Err(A::Error::invalid_value(serde::de::Unexpected::Other("[]"), &self));
        }
        Instruction::check(&all).map_err(A::Error::custom)?;
        Ok(Instructions(all))
    }
}

struct One(Instruction);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Single)
    }
}

struct Single;

impl<'de> Visitor<'de> for Single {
    type Value = One;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text or {\"text\", \"weight\"}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<One, E> {
        Ok(One(Instruction::new(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<One, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Weighted {
            text: String,
            weight: f32,
        }
        let Weighted { text, weight } = Weighted::deserialize(MapAccessDeserializer::new(map))?;
        Ok(One(Instruction { text, weight }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input;

    #[derive(Debug, Deserialize)]
    struct Record {
        instruction: Option<Instructions>,
    }

    fn read(instruction: &str) -> Result<Vec<(String, f32)>, String> {
        let record: Record = input::object(&format!("{{\"instruction\":{instruction}}}"))?;
        let all = record.instruction.map(|all| all.0).unwrap_or_default();
        Ok(all.into_iter().map(|instruction| (instruction.text, instruction.weight)).collect())
    }

    #[test]
    fn a_text_and_lists_of_texts_with_and_without_weights_are_read() {
        let all =
            |of: &[(&str, f32)]| Ok(of.iter().map(|&(text, weight)| (text.to_owned(), weight)).collect());
        assert_eq!(read("null"), all(&[]));
        assert_eq!(read("\"A\""), all(&[("A", 1.0)]));
        assert_eq!(read("[\"A\", \"B\"]"), all(&[("A", 1.0), ("B", 1.0)]));
        let weighted = "[{\"text\":\"A\",\"weight\":0.5}, \"B\", {\"weight\":-2,\"text\":\"C\"}]";
        assert_eq!(read(weighted), all(&[("A", 0.5), ("B", 1.0), ("C", -2.0)]));
    }

    #[test]
    fn what_is_no_instruction_is_refused_by_field_and_range() {
        for (instruction, why) in [
            ("7", "instruction is 7, must be a text, or a list of texts and of {\"text\", \"weight\"}"),
            ("[]", "instruction is [], must be a text, or a list of"),
            ("[3]", "instruction[0] is 3, must be a text or {\"text\", \"weight\"}"),
            ("[{\"text\":\"A\"}]", "instruction[0]: weight is missing"),
            ("[{\"text\":\"A\",\"weight\":\"x\"}]", "instruction[0].weight is \"x\", must be a number"),
            (
                "[{\"text\":\"A\",\"weight\":1,\"w\":2}]",
                "instruction[0].w: unknown field `w`, expected `text` or `weight`",
            ),
            ("[\"A\",\"\"]", "instruction: prompt cannot be used: instruction 2 of 2 is empty"),
        ] {
            let error = read(instruction).unwrap_err();
            assert!(error.starts_with(why), "{instruction}: {error}");
        }
    }
}
