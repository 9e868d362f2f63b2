//! `sda_steer`, `sda_steer_many`, `sda_params_init` and `sda_amplify` as a C program may call them: any bytes for
//! the structs, each with the size that it names and not a byte more; any rows; NULL for any pointer.

#![no_main]

use std::mem::{offset_of, size_of};
use std::ptr::{null, null_mut};

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use sda::Params;
use sda::ffi::{
    CParams, CStep, CStepInfo, SDA_ERR_ALL_MASKED, SDA_ERR_LENGTH, SDA_ERR_NOT_FINITE, SDA_ERR_NULL,
    SDA_ERR_PARAM, SDA_ERR_VERSION, SDA_OK, sda_amplify, sda_params_init, sda_status_str, sda_steer,
    sda_steer_many,
};

/// Where values of f32 end, and what they leave out.
const ODD: [f32; 16] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-45,
    1.0,
    -1.0,
    1e30,
    -1e30,
    1e-30,
    88.8,
    -103.9,
];

fn number(u: &mut Unstructured) -> Result<f32> {
    Ok(match u.arbitrary::<u8>()? {
        n @ 0..200 => (f32::from(n) - 100.0) / 8.0,
        n @ 200..248 => ODD[usize::from(n) % ODD.len()],
        _ => f32::from_bits(u.arbitrary()?),
    })
}

/// A logit: odd ones are rare, so that most rows are valid.
fn logit(u: &mut Unstructured) -> Result<f32> {
    Ok(match u.arbitrary::<u8>()? {
        n @ 0..220 => (f32::from(n) - 110.0) / 4.0,
        220..240 => f32::NEG_INFINITY,
        _ => number(u)?,
    })
}

fn row(u: &mut Unstructured, n: usize) -> Result<Vec<f32>> {
    (0..n).map(|_| logit(u)).collect()
}

/// A struct that begins with its size, in a block of memory that holds no byte more. One that is too large to be
/// true is nothing but its size.
fn sized(mut bytes: Vec<u8>, size: usize) -> Vec<u8> {
    bytes.resize(if size > 4096 { size_of::<usize>() } else { size.max(size_of::<usize>()) }, 0);
    bytes[..size_of::<usize>()].copy_from_slice(&size.to_ne_bytes());
    bytes.into_boxed_slice().into_vec()
}

fn size(u: &mut Unstructured, usual: usize) -> Result<usize> {
    Ok(match u.arbitrary::<u8>()? {
        0..200 => usual,
        n @ 200..250 => usize::from(n) - 200,
        250 => 4096,
        251 => 4097,
        252 => usual + 8,
        253 => usize::MAX,
        _ => u.arbitrary::<u16>()?.into(),
    })
}

fn params(u: &mut Unstructured) -> Result<Vec<u8>> {
    let size = size(u, size_of::<CParams>())?;
    let mut bytes = vec![0; size_of::<CParams>()];
    // SAFETY: the bytes are a struct of this size.
    let status = unsafe { sda_params_init(bytes.as_mut_ptr().cast(), bytes.len()) };
    assert_eq!(status, SDA_OK);
    let set = u.arbitrary::<u16>()?;
    let fields = [
        offset_of!(CParams, amplification),
        offset_of!(CParams, k),
        offset_of!(CParams, temperature),
        offset_of!(CParams, sigma),
        offset_of!(CParams, t_min),
        offset_of!(CParams, top_p),
        offset_of!(CParams, max_kl),
        offset_of!(CParams, mean_kl),
        offset_of!(CParams, flags),
        offset_of!(CParams, reserved),
    ];
    for (bit, at) in fields.into_iter().enumerate() {
        if set & 1 << bit != 0 {
            bytes[at..at + 4].copy_from_slice(&number(u)?.to_ne_bytes());
        }
    }
    if set & 1 << 15 != 0 && size <= 4096 {
        bytes.resize(size.max(bytes.len()), 0);
        let at = u.choose_index(bytes.len())?;
        bytes[at] = u.arbitrary()?;
    }
    Ok(sized(bytes, size))
}

/// The settings that the library has to find in the bytes, if it takes them.
fn read(bytes: &[u8]) -> Params {
    let field = |at: usize, default: f32| match bytes.get(at..at + 4) {
        Some(field) => f32::from_ne_bytes(field.try_into().unwrap()),
        // An older caller may end in the middle of a field.
        None => {
            let mut field = default.to_ne_bytes();
            let known = bytes.get(at..).unwrap_or_default();
            field[..known.len()].copy_from_slice(known);
            f32::from_ne_bytes(field)
        }
    };
    let none = Params::default();
    Params {
        amplification: field(offset_of!(CParams, amplification), none.amplification),
        k: field(offset_of!(CParams, k), none.k),
        temperature: field(offset_of!(CParams, temperature), none.temperature),
        sigma: field(offset_of!(CParams, sigma), none.sigma),
        t_min: field(offset_of!(CParams, t_min), none.t_min),
        max_kl: field(offset_of!(CParams, max_kl), none.max_kl),
        mean_kl: field(offset_of!(CParams, mean_kl), none.mean_kl),
    }
}

#[derive(Debug)]
struct Call {
    params: Vec<u8>,
    instructed: Vec<f32>,
    plain: Vec<f32>,
    others: Vec<Vec<f32>>,
    /// Which of them is the instructed row itself.
    same: u8,
    weights: Vec<f32>,
    in_place: bool,
    info_size: usize,
    /// Bits: which pointer is NULL, if one is.
    missing: u8,
    function: i32,
    score: f32,
}

impl<'a> Arbitrary<'a> for Call {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Call> {
        let params = params(u)?;
        let info_size = size(u, size_of::<CStepInfo>())?;
        let missing = if u.ratio(1, 32)? { u.arbitrary()? } else { 0 };
        let (in_place, same) = u.arbitrary()?;
        // At most 8 are taken. Groups and tails of the vectors are up to 64 long.
        let n_others = u.int_in_range(0..=9)?;
        let n = if u.ratio(1, 8)? { u.int_in_range(0..=70)? } else { u.int_in_range(0..=12)? };
        let weights = (0..n_others).map(|_| number(u)).collect::<Result<_>>()?;
        let (function, score) = (u.int_in_range(-1..=7)?, number(u)?);
        let (instructed, plain) = (row(u, n)?, row(u, n)?);
        let others = (0..n_others).map(|_| row(u, n)).collect::<Result<_>>()?;
        Ok(Call {
            params,
            instructed,
            plain,
            others,
            same,
            weights,
            in_place,
            info_size,
            missing,
            function,
            score,
        })
    }
}

fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|x| x.to_bits()).collect()
}

fn check_status(status: i32) {
    let known = [
        SDA_OK,
        SDA_ERR_NULL,
        SDA_ERR_PARAM,
        SDA_ERR_LENGTH,
        SDA_ERR_NOT_FINITE,
        SDA_ERR_ALL_MASKED,
        SDA_ERR_VERSION,
    ];
    assert!(known.contains(&status), "status {status}");
    // SAFETY: any integer.
    assert!(!unsafe { sda_status_str(status) }.is_null());
}

/// What holds for every row of results.
fn check_row(logprobs: &[f32], instructed: &[f32], greedy: bool, slack: f64) {
    let mut sum = 0.0;
    for (&out, &x) in logprobs.iter().zip(instructed) {
        assert!(!out.is_nan() && f64::from(out) <= slack, "log-probability {out}");
        if x == f32::NEG_INFINITY {
            assert_eq!(out, f32::NEG_INFINITY, "a masked token came back");
        } else if !greedy {
            assert!(out.is_finite(), "a token was masked");
        }
        sum += f64::from(out).exp();
    }
    assert!(slack > 0.1 || (sum - 1.0).abs() < slack, "probabilities sum to {sum}, slack {slack}");
    if greedy {
        assert_eq!(logprobs.iter().filter(|&&x| x == 0.0).count(), 1);
    }
}

/// What logits of 1e12, and strengths as large, lose where they cancel in `f64`; next to nothing for others.
fn slack(call: &Call, settings: &Params, strength: f64, temperature: f32) -> f64 {
    let rows = [&call.instructed, &call.plain].into_iter().chain(&call.others).flatten();
    let largest = rows.filter(|x| x.is_finite()).fold(1.0, |most, x| f64::from(x.abs()).max(most));
    let cold = if settings.is_greedy() { 1.0 } else { f64::from(temperature).min(1.0) };
    1e-4 + 2e-15 * largest * (1.0 + strength.abs()) / cold
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    row.iter().map(|&x| f64::from(x) - max - sum.ln()).collect()
}

/// KL(steered || instructed) of two rows, by the definition.
fn divergence(instructed: &[f32], plain: &[f32], gain: f64) -> f64 {
    let (p, q) = (log_softmax(instructed), log_softmax(plain));
    let moved: Vec<f64> = p
        .iter()
        .zip(&q)
        .map(|(&p, &q)| if p.is_finite() && q.is_finite() { p + gain * (p - q) } else { p })
        .collect();
    let max = moved.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = moved.iter().map(|s| (s - max).exp()).sum();
    let of = |s: f64, p: f64| {
        let s = s - max - sum.ln();
        if s < -700.0 { 0.0 } else { s.exp() * (s - p) }
    };
    moved.iter().zip(&p).map(|(&s, &p)| of(s, p)).sum()
}

fn run(call: Call) {
    let n = call.instructed.len();
    let null_if = |bit: u8| call.missing & 1 << bit != 0;
    let settings = read(&call.params);
    let params = if null_if(0) { null() } else { call.params.as_ptr().cast::<CParams>() };
    let plain = if null_if(1) { null() } else { call.plain.as_ptr() };

    let mut amplification = 7.0;
    // SAFETY: it can be written.
    let status = unsafe { sda_amplify(call.function, call.score, &mut amplification) };
    check_status(status);
    assert!(if status == SDA_OK { amplification.is_finite() } else { amplification == 7.0 });

    // Two rows.
    let mut out = if call.in_place { call.instructed.clone() } else { vec![0.5; n] };
    let before = out.clone();
    let instructed = if call.in_place { out.as_ptr() } else { call.instructed.as_ptr() };
    let instructed = if null_if(2) { null() } else { instructed };
    let logprobs = if null_if(3) { null_mut() } else { out.as_mut_ptr() };
    // The largest divergence makes the coldest step.
    let coldest = settings.temperature_at(std::f64::consts::LN_2) as f32;
    let mut step = CStep { divergence: 7.0, temperature: 7.0 };
    let to = if null_if(4) { null_mut() } else { &raw mut step };
    // SAFETY: rows of `n`, structs of the sizes that they name, or NULL.
    let status = unsafe { sda_steer(instructed, plain, n, params, logprobs, to) };
    check_status(status);
    if call.missing & 0b1_1111 != 0 {
        assert_ne!(status, SDA_OK);
    }
    let mut rust = vec![0.5; n];
    if status == SDA_OK {
        let loose = slack(&call, &settings, settings.gain(), step.temperature);
        check_row(&out, &call.instructed, settings.is_greedy(), loose);
        assert!((0.0..=0.693_147_3).contains(&step.divergence), "{}", step.divergence);
        assert!(step.temperature.is_finite() && step.temperature >= 0.0);
        let of_rust = sda::steer::steer(&call.instructed, &call.plain, &settings, &mut rust).unwrap();
        assert_eq!(bits(&out), bits(&rust), "C and Rust differ");
        let (share, gain) = (of_rust.gain / settings.gain(), of_rust.gain);
        assert!(share.is_nan() || (0.0..=1.0).contains(&share), "{gain} of {}", settings.gain());
        // Beyond, the definition below rounds, too.
        let is_plain = |row: &[f32]| row.iter().all(|x| x.abs() < 1e3 || *x == f32::NEG_INFINITY);
        if settings.max_kl < f32::INFINITY
            && gain.abs() < 1e9
            && is_plain(&call.instructed)
            && is_plain(&call.plain)
        {
            let limit = f64::from(settings.max_kl);
            let kl = divergence(&call.instructed, &call.plain, gain);
            assert!(kl <= limit * 1.001 + 2e-4, "KL {kl}, limit {limit}, gain {gain}");
            assert!(of_rust.kl.is_none_or(|kl| (0.0..=limit).contains(&kl)));
        }
    } else {
        assert_eq!(bits(&out), bits(&before), "an error wrote a row");
        assert_eq!((step.divergence, step.temperature), (7.0, 7.0), "an error wrote a step");
        if call.missing == 0 && settings.validate().is_ok() && settings.mean_kl == f32::INFINITY {
            let refused = sda::steer::steer(&call.instructed, &call.plain, &settings, &mut rust);
            // The fields that Rust does not have.
            assert!(refused.is_err() || matches!(status, SDA_ERR_VERSION | SDA_ERR_PARAM));
            assert!(refused.is_ok() || !refused.unwrap_err().to_string().is_empty());
        }
    }

    // Several.
    let mut out = if call.in_place { call.instructed.clone() } else { vec![0.5; n] };
    let instructed = if call.in_place { out.as_ptr() } else { call.instructed.as_ptr() };
    let instructed = if null_if(2) { null() } else { instructed };
    let logprobs = if null_if(3) { null_mut() } else { out.as_mut_ptr() };
    let others: Vec<*const f32> = (0..call.others.len())
        .map(|i| if u32::from(call.same) == 1 << i { instructed } else { call.others[i].as_ptr() })
        .collect();
    let mut info = sized(vec![0xaa; call.info_size.min(4096)], call.info_size);
    let info_before = info.clone();
    let to = if null_if(4) { null_mut() } else { info.as_mut_ptr().cast::<CStepInfo>() };
    let others = if null_if(5) { null() } else { others.as_ptr() };
    let weights = if null_if(6) { null() } else { call.weights.as_ptr() };
    let count = call.others.len();
    // SAFETY: as above; the arrays hold `count`.
    let status =
        unsafe { sda_steer_many(instructed, plain, others, weights, count, n, params, logprobs, to) };
    check_status(status);
    if status == SDA_OK {
        let weights: f64 = call.weights.iter().map(|w| f64::from(w.abs())).sum();
        let strength = settings.gain() * weights;
        check_row(&out, &call.instructed, settings.is_greedy(), slack(&call, &settings, strength, coldest));
    } else {
        assert_eq!(bits(&out), bits(&before), "an error wrote a row");
        assert_eq!(info, info_before, "an error wrote a step");
    }

    // One instruction of weight 1 is the same as two rows.
    let one = [call.instructed.as_ptr()];
    let mut of_many = vec![0.5; n];
    // SAFETY: as above.
    let many = unsafe {
        let (instructed, to) = (call.instructed.as_ptr(), of_many.as_mut_ptr());
        sda_steer_many(instructed, plain, one.as_ptr(), [1.0].as_ptr(), 1, n, params, to, null_mut())
    };
    if many == SDA_OK {
        sda::steer::steer(&call.instructed, &call.plain, &settings, &mut rust).unwrap();
        assert_eq!(bits(&of_many), bits(&rust), "one instruction is not two rows");
    }
}

fuzz_target!(|call: Call| run(call));
