//! An operator's own rules of diagnosis: before the first zero byte the file, after it a log that they judge.

use deskd_core::why::{Evidence, Log, Rules, rules};

use super::{diagnosis, halves, text};

pub fn run(data: &[u8]) {
    let (file, log) = halves(data);
    let Some(file) = text(file) else { return };
    match rules::read(file) {
        Ok(own) => {
            let diagnosis = Rules::of(own).diagnose(&Log::whole(log), &Evidence::default());
            diagnosis::check(&diagnosis);
        }
        Err(problems) => {
            let lines = file.split('\n').count();
            assert!(!problems.is_empty(), "refused without a reason");
            assert!(problems.is_sorted_by_key(|problem| problem.line));
            for problem in problems {
                assert!((1..=lines).contains(&problem.line), "{problem} of {lines}");
                assert!(!problem.what.is_empty());
            }
        }
    }
}
