-- End an attempt that will have no outcome.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  the worker
-- ARGV[3]  why
-- ARGV[4]  attempts that a batch has
--
-- Reply: the batch's queue; nil when there was no attempt of this worker's to end.
-- Keeps: the attempt is counted and its end is on record before anybody else can claim the batch.

return requeue(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
