//! What carries frames to and from a guest.

/// Two queues of frames with the guest. A frame that it has taken is never lost.
pub(crate) trait Link: Send {
    /// Whether the longest frame would find room in the guest's buffers. If not, the link stirs when there is.
    fn has_room(&mut self) -> bool;
    /// Hands a frame to the guest; for lack of room it is dropped.
    fn put(&mut self, frame: &[u8]);
    /// Takes the guest's next frame; false when there is none.
    fn take(&mut self, frame: &mut Vec<u8>) -> bool;
    /// Tells the guest of all that was put and taken, and asks it to tell of its next frame; false when that one is
    /// already there.
    fn settle(&mut self) -> bool;
    /// How many of the guest's buffers have been seen in each queue, for whoever goes on with them.
    fn positions(&self) -> [u16; 2];
}
