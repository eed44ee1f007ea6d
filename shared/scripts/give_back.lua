-- End an attempt that will have no outcome.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  the worker
-- ARGV[3]  why
-- ARGV[4]  attempts that a batch has
-- ARGV[5]  1 if its message is to be published again, 0 if the broker gives it back
--
-- Reply: 1, or 0 when the attempt is not this worker's, or over.
-- Keeps: the attempt is counted and its end is on record before anybody else can claim the batch.

return give_back(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1') and 1 or 0
