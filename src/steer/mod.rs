//! Steering.
#[derive(Clone, Copy, Debug, PartialEq)]
/// Temporary.
pub struct Step {
    /// JS
    pub divergence: f64,
    /// T
    pub temperature: f64,
}
/// Temporary.
pub fn steer_in_place(_: &mut [f32], _: &[f32], _: &crate::Params) -> crate::Result<Step> {
    todo!()
}
