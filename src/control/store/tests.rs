//! The store on real folders, and its file format.
