//! The MC service server of an MC system: who is authorized, with which profile, affiliated where, and whom one may call. TS 23.280 10.1.1, 10.6, 10.8, 10.13.
