//! Time and random numbers of the C library, answered from a seed while a world runs on the thread.
//!
//! What must hold: outside of worlds everything is as the operating system says; inside of one, what is drawn depends on
//! its seed and the order of the draws alone. Everything that our libraries draw comes through these four names: the keys
//! of hash maps and of TLS, the clocks. Linux on x86-64; elsewhere a world runs without it, and only what is shown is
//! the same every time, not the bytes on the wire.
#![allow(unsafe_code, reason = "symbols of the C library are replaced, which cannot be done otherwise")]

use std::arch::asm;
use std::cell::Cell;

use libc::{c_int, c_long, c_uint, c_void, clockid_t, size_t, ssize_t, timespec};
use rejoin::store::faulty::Seeded;

/// Whether a world runs on this thread.
#[derive(Clone, Copy)]
struct State {
    on: bool,
    random: u64,
    /// Since the world began.
    elapsed_ns: u64,
}

thread_local! {
    // Without a destructor and without allocation: the allocator itself may ask for the time.
    static STATE: Cell<State> = const { Cell::new(State { on: false, random: 0, elapsed_ns: 0 }) };
}

/// Nanoseconds of the wall clock at which worlds begin.
const WALL_NS: u64 = super::full::EPOCH_MS * 1_000_000;
/// Nanoseconds since the machine was started, when worlds begin.
const MONOTONIC_NS: u64 = 1_000_000_000_000;

/// While this lives, the thread is in a world.
pub(crate) struct Inside(());

impl Inside {
    /// Enters the world of `seed`.
    pub(crate) fn enter(seed: u64) -> Self {
        // An allocator draws when a thread first comes to it, which may be before this or after.
        drop(std::hint::black_box(Box::new(seed)));
        STATE.set(State { on: true, random: seed, elapsed_ns: 0 });
        Self(())
    }

    /// Sets its time.
    pub(crate) fn set_elapsed_ms(&self, ms: u64) {
        STATE.set(State { elapsed_ns: ms * 1_000_000, ..STATE.get() });
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        STATE.set(State { on: false, ..STATE.get() });
    }
}

/// Draws, if a world runs here.
fn draw(bytes: *mut u8, len: usize) -> bool {
    let state = STATE.get();
    if !state.on {
        return false;
    }
    let mut random = Seeded(state.random);
    for at in (0..len).step_by(8) {
        let some = random.next().to_le_bytes();
        let count = some.len().min(len - at);
        // SAFETY: the caller of the C function promises `len` bytes at `bytes`.
        unsafe { std::ptr::copy_nonoverlapping(some.as_ptr(), bytes.add(at), count) };
    }
    STATE.set(State { random: random.0, ..state });
    true
}

/// Asks the kernel; a negative number is an error.
fn kernel(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long {
    let answer: c_long;
    // SAFETY: the registers are those of a system call on x86-64; what the call does is the caller's business.
    unsafe {
        asm!("syscall", inlateout("rax") number => answer, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

fn answered(answer: c_long) -> c_long {
    if answer >= 0 {
        return answer;
    }
    // SAFETY: the place of this thread's errno is always valid.
    unsafe { *libc::__errno_location() = c_int::try_from(-answer).unwrap_or(libc::EIO) };
    -1
}

/// As the C library's.
///
/// # Safety
/// There are `len` bytes at `buf`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(buf: *mut c_void, len: size_t, flags: c_uint) -> ssize_t {
    if draw(buf.cast(), len) {
        return ssize_t::try_from(len).unwrap_or(ssize_t::MAX);
    }
    answered(kernel(libc::SYS_getrandom, buf as c_long, len as c_long, c_long::from(flags), 0, 0, 0)) as ssize_t
}

/// As the C library's.
///
/// # Safety
/// There are `len` bytes at `buf`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getentropy(buf: *mut c_void, len: size_t) -> c_int {
    if draw(buf.cast(), len) {
        return 0;
    }
    let answer = answered(kernel(libc::SYS_getrandom, buf as c_long, len as c_long, 0, 0, 0, 0));
    if answer == len as c_long { 0 } else { -1 }
}

/// As the C library's.
///
/// # Safety
/// There is a `timespec` at `to`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: clockid_t, to: *mut timespec) -> c_int {
    let state = STATE.get();
    let ns = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE if state.on => WALL_NS + state.elapsed_ns,
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME
            if state.on =>
        {
            MONOTONIC_NS + state.elapsed_ns
        }
        _ => return answered(kernel(libc::SYS_clock_gettime, c_long::from(clock), to as c_long, 0, 0, 0, 0)) as c_int,
    };
    let time = timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 };
    // SAFETY: the caller promises that there is one.
    unsafe { to.write(time) };
    0
}

/// As the C library's, for which the caller lays out up to six arguments.
///
/// # Safety
/// As that of the call.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_getrandom && draw(a as *mut u8, usize::try_from(b).unwrap_or(0)) {
        return b;
    }
    answered(kernel(number, a, b, c, d, e, f))
}
