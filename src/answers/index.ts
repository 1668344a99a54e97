/**
 * What the API answers: a schema for each answer, which describes it in the OpenAPI document, and its type, which the reads of the read model
 * return. Apart from the dialler's payloads: a payload is read with tolerance, an answer is a promise.
 */
export * from './agent.ts'
export * from './campaign.ts'
export * from './cdr.ts'
export * from './change.ts'
export * from './confirmation.ts'
export * from './operator.ts'
export * from './fields.ts'
export * from './missing.ts'
export * from './operator.ts'
export * from './parked.ts'
export * from './replay.ts'
export * from './wall.ts'
