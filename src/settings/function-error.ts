/** An error between a function and its platform: in its settings, in Parameter Store, or in a queue. Its text contains no secret. */
export class FunctionsError extends Error {
  override readonly name = 'FunctionsError'
  readonly code:
    | 'functions.parameters.refused'
    | 'functions.parameters.missing'
    | 'functions.queues.no_url'
    | 'functions.queues.not_deleted'
    | 'functions.call_limit.invalid'
    | 'functions.time_zone.invalid'
    | 'functions.abandon.invalid'
    | 'functions.events.invalid'
    | 'functions.parked_days.invalid'
    | 'functions.missing_minutes.invalid'
    | 'functions.routes.invalid'
    | 'functions.replay.refused'
    | 'functions.target.invalid'

  constructor(code: FunctionsError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
