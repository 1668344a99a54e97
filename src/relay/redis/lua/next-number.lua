-- Returns a number that no claim, epoch or notice of this source has.
return tonumber(give_number(least_number))
