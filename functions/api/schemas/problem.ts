import * as v from 'valibot'

/** An error answer. Source: RFC 9457. */
export const ProblemAnswer = v.pipe(
  v.object({
    type: v.pipe(v.string(), v.description('What went wrong, for programs: a URN that ends in a code.')),
    title: v.pipe(v.string(), v.description('The same in words, alike for all of one type.')),
    status: v.pipe(v.number(), v.integer()),
    detail: v.pipe(v.string(), v.description('What went wrong this time, and what to do.')),
    parameter: v.optional(v.pipe(v.string(), v.description('The parameter that is at fault.'))),
    known: v.optional(v.pipe(v.array(v.string()), v.description('The parameters that there are.'))),
  }),
  v.metadata({
    ref: 'Problem',
    description: 'An error, as RFC 9457 describes it.',
    examples: [
      {
        type: 'urn:enigma-relay:problem:bad-parameter',
        title: 'A parameter cannot be used',
        status: 400,
        detail: 'limit must be at most 500.',
        parameter: 'limit',
      },
    ],
  }),
)
