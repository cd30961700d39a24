/** A bar of cli-progress. It is loaded late through this file: a bundle gives a late import of a CommonJS package no names. */
export { SingleBar } from 'cli-progress';
