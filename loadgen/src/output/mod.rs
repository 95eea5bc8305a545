//! Results for people and for programs: one file a format, all of them pure.
