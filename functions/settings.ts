/** What a function of yours needs besides the read model. */
export type FunctionSettings = {
  /** Variables that are no secrets: whoever may see the function's configuration sees them. */
  readonly variables?: Readonly<Record<string, string>>
  /**
   * Secrets, and what differs by stage: `setting('CRM_TOKEN')` of wiring.ts reads what Parameter Store has as `/enigma-prod/crm-token`. At
   * most eight.
   */
  readonly parameters?: readonly string[]
}

/**
 * By route, as `npm run deploy` gives them to the functions, with the rights to read them.
 *
 * @example
 * 'agents-call': { variables: { CRM_URL: 'https://crm.example.com/pops' }, parameters: ['CRM_TOKEN'] },
 */
export const SETTINGS: Readonly<Record<string, FunctionSettings>> = {}
