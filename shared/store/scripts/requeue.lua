-- End an attempt without an outcome.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  the worker
-- ARGV[3]  the reason
-- ARGV[4]  maximum number of attempts at the batch
--
-- Reply: the batch's queue; nil if the worker had no attempt to end.
-- Keeps: the end of the attempt is recorded before the batch can be claimed again.

return requeue(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
