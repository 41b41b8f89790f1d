//! Listening, dialling and TLS, through `trait Net`.
