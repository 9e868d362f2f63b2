//! Meters what minijinja's fuel does not: values that hold one another.
//!
//! minijinja charges for what is made, and lists share what they hold. Forty lists that hold the one before twice cost
//! nothing to make, and 2^40 steps to print or to compare. A list that is sliced again and again is a chain of views, and
//! a namespace can hold itself. So the compiled template is changed: what makes a list, dict or tuple is followed by a
//! filter that turns views into lists and charges for all that the result holds. What then works on a value costs no more
//! than its making did.
//!
//! Two operators are replaced on the way: `~`, which prints as Python does, and `%`, which formats texts.

use std::collections::BTreeMap;

use minijinja::formatting::{FormatStyle, format};
use minijinja::machinery::{Instruction, Instructions, eval, get_compiled_template, make_string_output};
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value};

use super::args::{charge, invalid};
use super::print::python_str;
use super::strings::check_format;

const FLAT: &str = "sda_flat";
const SIZED: &str = "sda_sized";
const SETTABLE: &str = "sda_settable";
const CONCAT: &str = "sda_concat";
const REMAINDER: &str = "sda_remainder";

/// Filters, functions and methods whose results hold their arguments one level deeper.
const NESTING: [&str; 7] = ["batch", "slice", "groupby", "dictsort", "items", "dict", "namespace"];

/// Values that are counted for one step.
const VALUES_PER_STEP: u64 = 4;

pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter(FLAT, flat);
    environment.add_filter(SIZED, sized);
    environment.add_filter(SETTABLE, |value: Value| {
        if is_namespace(&value) {
            Err(invalid("a namespace cannot be set in a namespace"))
        } else {
            Ok(value)
        }
    });
    environment.add_filter(CONCAT, concat);
    environment.add_filter(REMAINDER, remainder);
}

/// Renders a template of the environment.
pub(super) fn render(environment: &Environment<'_>, name: &str, context: Value) -> Result<String, Error> {
    let template = environment.get_template(name)?;
    let compiled = get_compiled_template(&template);
    let instructions = metered(&compiled.instructions);
    let blocks: BTreeMap<_, _> =
        compiled.blocks.iter().map(|(name, block)| (*name, metered(block))).collect();
    let mut text = String::new();
    let mut output = make_string_output(&mut text);
    let auto_escape = compiled.initial_auto_escape.clone();
    eval(environment, &instructions, context, &blocks, &mut output, auto_escape)?;
    Ok(text)
}

/// The instructions with the filters between them.
fn metered<'s>(source: &Instructions<'s>) -> Instructions<'s> {
    let filter = |name, arguments| Instruction::ApplyFilter(name, Some(arguments), u8::MAX);
    let mut all = Vec::new();
    let mut moved = Vec::new();
    for (index, instruction) in (0..).map_while(|index| Some((index, source.get(index)?))) {
        moved.push(all.len() as u32);
        let line = source.get_line(index).unwrap_or_default() as u16;
        let mut push = |instruction| all.push((instruction, line));
        match instruction {
            Instruction::StringConcat => push(filter(CONCAT, 2)),
            Instruction::Rem => push(filter(REMAINDER, 2)),
            Instruction::SetAttr(_) => {
                // The value is below the namespace.
                for instruction in
                    [Instruction::Swap, filter(SETTABLE, 1), Instruction::Swap, instruction.clone()]
                {
                    push(instruction);
                }
            }
            Instruction::BuildList(_)
            | Instruction::BuildTuple(_)
            | Instruction::BuildMap(_)
            | Instruction::Add
            | Instruction::Mul => {
                push(instruction.clone());
                push(filter(SIZED, 1));
            }
            Instruction::ApplyFilter(name, ..)
            | Instruction::CallFunction(name, _)
            | Instruction::CallMethod(name, _) => {
                push(instruction.clone());
                push(filter(if NESTING.contains(name) { SIZED } else { FLAT }, 1));
            }
            Instruction::Slice | Instruction::CallObject(_) => {
                push(instruction.clone());
                push(filter(FLAT, 1));
            }
            _ => push(instruction.clone()),
        }
    }
    moved.push(all.len() as u32);
    let mut out = Instructions::new(source.name(), source.source());
    for (mut instruction, line) in all {
        match &mut instruction {
            Instruction::Iterate(target)
            | Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::BuildMacro(_, target, _) => *target = moved[*target as usize],
            _ => {}
        }
        out.add_with_line(instruction, line);
    }
    out
}

/// A view of a list as a list of its own; everything else as it is.
fn flat(state: &State, value: Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Iterable {
        return Ok(value);
    }
    let mut items = Vec::new();
    for (i, item) in value.try_iter()?.checked().enumerate() {
        if i % VALUES_PER_STEP as usize == 0 {
            state.consume_fuel(1)?;
        }
        items.push(item?);
    }
    Ok(Value::from(items))
}

/// As [`flat`], and charges for all that the value holds, as often as it holds it.
fn sized(state: &State, value: Value) -> Result<Value, Error> {
    let value = flat(state, value)?;
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map) {
        return Ok(value);
    }
    let top = is_namespace(&value);
    let mut count = 0_u64;
    let mut open = vec![value.clone()];
    while let Some(holder) = open.pop() {
        for item in holder.try_iter()?.checked() {
            let item = item?;
            let held = if holder.kind() == ValueKind::Map { holder.get_item(&item)? } else { item };
            count += 1;
            if count.is_multiple_of(VALUES_PER_STEP) {
                state.consume_fuel(1)?;
            }
            if let Some(text) = held.as_str() {
                charge(state, text.len())?;
            } else if is_namespace(&held) && !top {
                return Err(invalid("a namespace cannot be in a list or dict"));
            } else if matches!(held.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
                open.push(held);
            }
        }
    }
    Ok(value)
}

fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

fn concat(state: &State, left: &Value, right: &Value) -> Result<String, Error> {
    let [left, right] = [python_str(state, left)?, python_str(state, right)?];
    charge(state, left.len() + right.len())?;
    Ok(left + &right)
}

/// `%` of Python: between texts it formats.
fn remainder(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        let arguments: Vec<Value> =
            if right.is_tuple() { right.try_iter()?.collect() } else { vec![right.clone()] };
        check_format(state, text, '%', &arguments)?;
        return format(FormatStyle::Printf, text, &arguments).map(Value::from);
    }
    let error = || invalid(format!("tried to use % operator on {left} and {right}"));
    let whole = |value: &Value| {
        if value.is_integer() || value.kind() == ValueKind::Bool {
            i128::try_from(value.clone()).ok()
        } else {
            None
        }
    };
    if let (Some(a), Some(b)) = (whole(left), whole(right)) {
        let rest = a.checked_rem(b).ok_or_else(error)?;
        return Ok(Value::from(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    let float = |value: &Value| {
        if value.is_number() || value.kind() == ValueKind::Bool {
            f64::try_from(value.clone()).ok()
        } else {
            None
        }
    };
    match (float(left), float(right)) {
        (Some(a), Some(b)) if b != 0.0 => {
            let rest = a % b;
            Ok(Value::from(if rest == 0.0 {
                0.0_f64.copysign(b)
            } else if (rest < 0.0) != (b < 0.0) {
                rest + b
            } else {
                rest
            }))
        }
        _ => Err(error()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChatTemplate, Message, Role};

    /// What the template makes of one short message, or its error.
    fn render(source: &str) -> String {
        let template = ChatTemplate::compile(source, "<s>", "</s>");
        let rendered =
            template.and_then(|template| template.render_unchecked(&[Message::new(Role::User, "Hi")], true));
        rendered.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn a_hostile_template_ends_by_what_it_does() {
        let double = "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}\
            {% set ns.y = [ns.y, ns.y] %}{% endfor %}";
        let spill = [
            "{{ ns.x }}",
            "{{ ns.x ~ '' }}",
            "{{ ns.x == ns.y }}",
            "{{ [ns.x, ns.y]|sort }}",
            "{{ ns.x|tojson }}",
        ];
        let spilling = spill.map(|end| format!("{double}{end}"));
        let growing = [
            "ns.x + ns.x",
            "ns.x * 2",
            "[ns.x, ns.x]",
            "(ns.x, ns.x)",
            "{'a': ns.x, 'b': ns.x}",
            "dict(a=ns.x, b=ns.x)",
            "(ns.x + ns.x)|batch(9)|list",
            "[ns.x, ns.x]|slice(1)|list",
            "ns.x ~ ns.x",
            "ns.x|string * 2",
            "ns.x|join('ab') ~ ns.x",
            "'%s%s' % (ns.x, ns.x)",
            "'{0}{0}'.format(ns.x)",
            "(ns.x|string).replace('1', '11')",
            "ns.x|tojson ~ ns.x|tojson",
        ]
        .map(|next| {
            format!("{{% set ns = namespace(x=[1]) %}}{{% for i in range(99) %}}{{% set ns.x = {next} %}}{{% endfor %}}{{{{ ns.x|length }}}}")
        });
        let endless = [
            "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
            "{{ 'a' * 10**9 }}",
            "{{ 'x'.center(10**12) }}",
            "{{ 'x'.zfill(10**18) }}",
            "{{ '\t'.expandtabs(10**15) }}",
            "{{ 'a\nb'|indent(10**15) }}",
            "{{ '%999999d' % 1 }}",
            "{{ '{:>999999999}'.format(1) }}",
            "{{ ('{0}' * 1000).format('a' * 1000000) }}",
            "{% set s = 'a' * 3000000 %}{{ [s] * 40000 ~ '' }}",
            "{% macro a(n) %}{% if n %}{{ a(n - 1) }}{{ a(n - 1) }}{% endif %}{% endmacro %}{{ a(40) }}",
            "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
            "{% for x in [[1]] recursive %}{{ loop([[x]]) }}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = ns.x[:] %}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = ns.x|reverse %}{% endfor %}",
            "{{ range(10**9)|length }}",
            "{{ [1]|tojson(indent=10**9) }}",
        ]
        .map(str::to_owned);
        for source in spilling.iter().chain(&growing).chain(&endless) {
            let error = render(source);
            let by_limit =
                ["does more than is allowed", "recursion limit", "at most", "too many elements", "too large"];
            assert!(by_limit.iter().any(|limit| error.contains(limit)), "{source}: {error:.300}");
        }
    }

    #[test]
    fn no_value_holds_itself() {
        for end in ["{{ ns ~ '' }}", "{{ ns == ns }}", "{{ ns|tojson }}"] {
            for hold in ["ns", "[ns]", "{'a': ns}", "dict(a=[ns])", "namespace(a=ns)"] {
                let error = render(&format!("{{% set ns = namespace() %}}{{% set ns.x = {hold} %}}{end}"));
                assert!(error.contains("a namespace cannot be"), "{hold}: {error}");
            }
        }
        assert_eq!(render("{% set a = namespace(b=namespace(c=1)) %}{{ a.b.c }}"), "1");
    }

    #[test]
    fn a_long_conversation_has_room() {
        let source = "{% for m in messages[::-1] %}{% set before = messages[:loop.index0] %}{% set text = m.content.strip() %}\
            {% if '</think>' in text %}{% set text = text.split('</think>')[-1]|trim %}{% endif %}\
            {{ '<' ~ m.role ~ '>' + text|replace('a', 'b') }}{{ m|tojson }}{% endfor %}";
        let messages: Vec<Message> =
            (0..2000).map(|i| Message::new(Role::User, format!("{i} {}", "word ".repeat(60)))).collect();
        let template = ChatTemplate::compile(source, "", "").unwrap();
        template.render_unchecked(&messages, true).unwrap();
        let long = [Message::new(Role::User, "long ".repeat(1_000_000))];
        template.render_unchecked(&long, true).unwrap();
    }

    #[test]
    fn errors_still_name_their_line() {
        assert!(render("{% set x = [1] + [2] %}\n{{ x[0] ~ 'a' }}\n{{ 1 + 'a' }}").contains("in line 3: "));
    }
}
