//! Many drafts at once: a few threads, one iterator of items, one place where the results arrive.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::error::{Error, Result};

/// Scores many items on `threads` threads of its own; `R` is whatever scoring one gives.
///
/// Items are taken from the iterator one by one, so that it may read a file as it goes; a read that
/// blocks is not interrupted. `score` is called on the threads with an item and a cancel hook to hand
/// on, typically to `Client::score`. `done` gets every item that was taken exactly once, with its
/// result, on the calling thread and in the order in which they finish; an item's failure does not
/// stop the others. When `cancel` becomes true or `done` fails, no further items are taken and the
/// hook asks the calls under way to stop; after a failure of `done` it is not called again.
///
/// # Errors
/// [`Error::Param`] when `threads` is not from 1 to 256, [`Error::Cancelled`], or what `done`
/// returned.
pub fn score_each<T: Send, R: Send>(
    items: impl Iterator<Item = T> + Send,
    threads: usize,
    score: impl Fn(&T, &dyn Fn() -> bool) -> R + Sync,
    cancel: &(dyn Fn() -> bool + Sync),
    mut done: impl FnMut(T, R) -> Result<()>,
) -> Result<()> {
    if !(1..=256).contains(&threads) {
        return Err(Error::param("judge threads", threads, "from 1 to 256"));
    }
    let items = Mutex::new(items);
    let (stop, cancelled) = (AtomicBool::new(false), AtomicBool::new(false));
    let stopped = || {
        cancelled.fetch_or(cancel(), Ordering::Relaxed);
        stop.load(Ordering::Relaxed) || cancelled.load(Ordering::Relaxed)
    };
    let work = |sender: mpsc::SyncSender<(T, R)>| {
        while !stopped() {
            // A poisoned lock means that the iterator panicked: there are no more items.
            let Some(item) = items.lock().ok().and_then(|mut items| items.next()) else { break };
            let result = score(&item, &stopped);
            if sender.send((item, result)).is_err() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(threads);
        for _ in 0..threads {
            let (sender, work) = (sender.clone(), &work);
            scope.spawn(move || work(sender));
        }
        drop(sender);
        let mut failed = Ok(());
        for (item, result) in receiver {
            if failed.is_ok() {
                failed = done(item, result);
                stop.fetch_or(failed.is_err(), Ordering::Relaxed);
            }
        }
        failed
    })?;
    if cancelled.into_inner() { Err(Error::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Verdict;

    fn tens(n: &u32, _: &dyn Fn() -> bool) -> Result<Verdict> {
        if *n == 3 {
            return Err(Error::Judge { reason: "no".into() });
        }
        Verdict::from_samples(vec![*n as f32 * 10.0])
    }

    #[test]
    fn every_item_comes_back_once_with_its_own_result() {
        for threads in [1, 3, 64] {
            let mut seen = [0; 11];
            let result = score_each(1..=10_u32, threads, tens, &|| false, |n, result| {
                seen[n as usize] += 1;
                assert_eq!(result, tens(&n, &|| false));
                Ok(())
            });
            assert_eq!((result, &seen[1..]), (Ok(()), &[1; 10][..]));
        }
    }

    #[test]
    fn no_items_are_no_work_and_no_threads_are_refused() {
        let never = |_, _| panic!("nothing to report");
        assert_eq!(score_each(0..0_u32, 4, tens, &|| false, never), Ok(()));
        for threads in [0, 257] {
            let result = score_each(0..1_u32, threads, tens, &|| false, never);
            assert!(matches!(result, Err(Error::Param { field: "judge threads", .. })), "{result:?}");
        }
    }

    #[test]
    fn a_call_that_is_cancelled_beforehand_takes_nothing() {
        let items = (0..5_u32).inspect(|n| panic!("{n} was taken"));
        let result = score_each(items, 2, tens, &|| true, |_, _| Ok(()));
        assert_eq!(result, Err(Error::Cancelled));
    }
}
