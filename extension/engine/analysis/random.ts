/** Random numbers of a seed; those of runs over facts are the same. */
export { randomBelow, seededRandom, shuffle } from '../../cloze/random';
