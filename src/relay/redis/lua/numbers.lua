-- name: next-number
-- Returns a number that no claim, epoch or notice of this source has.
return tonumber(give_number(least_number))

-- name: publish-heartbeat
-- Publishes a heartbeat with the next number in the same step, so that numbers are heard in their order. The number is followed by its seal
-- (`parseHeartbeat` in subscription.ts). Returns the number.
local number = give_number(least_number)
redis.call('PUBLISH', channel, number .. ' ' .. string.sub(redis.sha1hex('enigma-relay ' .. number), 1, 16))
return tonumber(number)
