import * as v from 'valibot'

/** An error answer. Source: RFC 9457. */
export const ProblemAnswer = v.pipe(
  v.object({
    type: v.pipe(v.string(), v.description('The kind of problem, for programs: a URN that ends in a code.')),
    title: v.pipe(v.string(), v.description('The kind of problem in words, the same for each type.')),
    status: v.pipe(v.number(), v.integer()),
    detail: v.pipe(v.string(), v.description('The cause of this occurrence, and what to do.')),
    parameter: v.optional(v.pipe(v.string(), v.description('The parameter with the error.'))),
    known: v.optional(v.pipe(v.array(v.string()), v.description('The known parameters.'))),
  }),
  v.metadata({
    ref: 'Problem',
    description: 'An error, as RFC 9457 describes it.',
    examples: [
      {
        type: 'urn:enigma-relay:problem:bad-parameter',
        title: 'Invalid parameter',
        status: 400,
        detail: 'limit must be at most 500.',
        parameter: 'limit',
      },
    ],
  }),
)
