//! Functional alias management: the functional alias management server (FAMS) of an MC system. TS 23.280 10.13.
