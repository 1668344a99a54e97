/**
 * The answers of the API. Each has a schema, which describes it in the OpenAPI document, and a type of the same name, which the reads
 * of the read model return. They are separate from the schemas of the dialler's payloads: a payload is read with tolerance, an answer
 * is a promise.
 */
export * from './agent-answers.ts'
export * from './answer-fields.ts'
export * from './campaign-answers.ts'
export * from './live-answers.ts'
export * from './operator-answers.ts'
export * from './parked-answers.ts'
export * from './replay-answers.ts'
