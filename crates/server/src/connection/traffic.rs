//! The steady state: bytes in, a turn with the broker, bytes out.

use std::task::Context;
use std::time::Instant;

use bytes::BytesMut;
use motte_broker::ConnectionId;

use super::socket::{Flushed, Received};
use super::{Connection, Phase, Scratch, Step};
use crate::engine::Broken;
use crate::tls::refusal;

impl Connection {
    /// One step of an open connection.
    pub(super) fn exchange(
        &mut self,
        id: ConnectionId,
        context: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Result<Step, Broken> {
        self.output_is_due |= self.slot.take_mark();
        let mut may_transmit = true;
        if self.secure.has_unsent() {
            match self.hand_over(context, scratch) {
                Some(flushed) => may_transmit = flushed,
                None => return Ok(Step::Done),
            }
        }
        let mut waits_for_input = false;
        let mut is_busy = false;
        // While the broker has not taken what is there, nothing more is read: the peer has to wait.
        if !self.input_is_fresh && !self.ended {
            match self.receive(context, scratch) {
                Received::Bytes(count) => {
                    // There is more where this came from: others do better to help than to wait.
                    is_busy = count == scratch.chunk.len();
                    if let Err(error) = self.feed(count, scratch) {
                        self.refuse(&refusal(&error));
                        return Ok(self.begin_close(scratch));
                    }
                }
                Received::Blocked => waits_for_input = true,
                Received::Ended => self.ended = true,
                Received::Failed => return Ok(Step::Done),
            }
        }
        if !(self.input_is_fresh || self.output_is_due && may_transmit) {
            if self.input.is_empty() {
                // A connection that waits holds no buffer.
                self.input = BytesMut::new();
            }
            // An answer of TLS itself, such as new keys.
            if !scratch.sealed.is_empty() && self.hand_over(context, scratch).is_none() {
                return Ok(Step::Done);
            }
            // A full chunk may end inside a record: nothing to show for it yet, and more to read.
            return Ok(match (self.ended, waits_for_input) {
                (true, _) => Step::Done,
                (false, true) => Step::Idle,
                (false, false) => Step::Progress,
            });
        }
        self.take_turn(id, may_transmit, is_busy, context, scratch)
            .map(|step| {
                if step == Step::Idle && !waits_for_input {
                    Step::Progress
                } else {
                    step
                }
            })
    }

    /// A turn, and the way of what it yielded to the kernel.
    fn take_turn(
        &mut self,
        id: ConnectionId,
        may_transmit: bool,
        is_busy: bool,
        context: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Result<Step, Broken> {
        let Scratch {
            output,
            sealed,
            wakes,
            ..
        } = scratch;
        output.clear();
        let input = self.input_is_fresh.then_some(&mut self.input);
        let turn =
            self.around
                .engine
                .turn(id, &self.slot, input, may_transmit.then_some(&mut *output), wakes)?;
        self.around.engine.wake(wakes, self.around.thread, is_busy);
        self.input_is_fresh = turn.receive_again;
        // Without leave to transmit, what is due stays due.
        self.output_is_due = turn.transmit_again || !may_transmit;
        if !output.is_empty() && self.secure.seal(output, sealed).is_err() {
            return Ok(Step::Done);
        }
        if turn.close {
            return Ok(self.begin_close(scratch));
        }
        match self.hand_over(context, scratch) {
            None => Ok(Step::Done),
            Some(flushed) if self.input_is_fresh || self.output_is_due && flushed => Ok(Step::Progress),
            Some(_) if self.ended => Ok(Step::Done),
            Some(_) => Ok(Step::Idle),
        }
    }

    /// Does on behalf of the waiting task what a message for it needs: a turn, and the way of what it
    /// yields to the kernel. Says whether nothing is left to do for the task.
    pub(super) fn deliver(&mut self, scratch: &mut Scratch) -> Result<bool, Broken> {
        let Phase::Open(id) = self.phase else {
            return Ok(false);
        };
        if self.input_is_fresh || self.ended || self.secure.has_unsent() {
            return Ok(false);
        }
        self.slot.take_mark();
        let Scratch {
            output,
            sealed,
            wakes,
            ..
        } = scratch;
        output.clear();
        let turn = self
            .around
            .engine
            .turn(id, &self.slot, None, Some(&mut *output), wakes)?;
        self.output_is_due = turn.transmit_again;
        if !output.is_empty() && self.secure.seal(output, sealed).is_err() {
            return Ok(false);
        }
        let is_flushed = self.secure.flush_now(sealed, &self.stream);
        if turn.close {
            self.begin_close(scratch);
            self.secure.stash(&mut scratch.sealed);
            return Ok(false);
        }
        if is_flushed && self.slot.end_batch() {
            self.around.engine.progress.made();
        }
        Ok(is_flushed && !self.output_is_due)
    }

    /// Writes the batch under way. Says whether the kernel has it all, or nothing if the connection
    /// broke.
    fn hand_over(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Option<bool> {
        match self.flush(context, scratch) {
            Flushed::All => {
                if self.slot.end_batch() {
                    self.around.engine.progress.made();
                }
                self.deadline = None;
                Some(true)
            }
            Flushed::Blocked => {
                let write_deadline = self.around.write_deadline;
                self.deadline
                    .get_or_insert_with(|| Instant::now() + write_deadline);
                Some(false)
            }
            Flushed::Failed => None,
        }
    }
}
