//! Every target: the one that the program is named after.

#![no_main]

/// Every crate's targets.
const ALL: [&[(&str, fn(&[u8]))]; 4] = [
    choreo_template::fuzzing::TARGETS,
    choreo_compiler::fuzzing::TARGETS,
    choreo_apiserver::fuzzing::TARGETS,
    choreo_node::fuzzing::TARGETS,
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut targets = ALL.into_iter().flatten();
    let (_, run) = targets
        .find(|(name, _)| *name == env!("CARGO_BIN_NAME"))
        .expect("a target of this name");
    run(data);
});
