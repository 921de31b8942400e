# Every way for Perl to call Perl, each with a leaf of its own; dive recurses 900 deep.
use strict; use warnings; no warnings 'recursion';
my $U = 3000;
sub burn { my $n = shift; my $x = 1; for (my $i = 0; $i < $n; $i++) { $x = ($x * 1103515 + 12345) & 0x7fffffff } return $x }
sub closure_leaf { burn($U); return }
sub string_leaf { burn($U); return }
sub block_leaf { burn($U); return }
sub tie_leaf { burn($U); return }
sub destroy_leaf { burn($U); return }
sub auto_leaf { burn($U); return }
sub over_leaf { burn($U); return }
sub sort_leaf { burn($U); return }
sub regex_leaf { burn($U); return 1 }
sub dive_leaf { burn(10 * $U); return }
sub sig_leaf { burn($U); return }
package Shell; sub new { bless {}, shift } sub DESTROY { main::destroy_leaf() }
package Knot; sub TIESCALAR { bless {}, shift } sub FETCH { my $r = eval { main::tie_leaf(); 1 }; return $r }
package Ghost; our $AUTOLOAD; sub AUTOLOAD { return if $AUTOLOAD =~ /DESTROY/; main::auto_leaf() }
package Weight; use overload '+' => sub { main::over_leaf(); return 1 }, fallback => 1; sub new { bless {}, shift }
package main;
tie my $knot, 'Knot';
my $weight = Weight->new;
my $closure = sub { closure_leaf(); return 1 };
sub with_closure { $closure->(); return }
sub with_string { my $r = eval "string_leaf(); 1"; return $r }
sub with_block { my $r = eval { block_leaf(); 1 }; return $r }
sub with_tie { my $v = $knot; return $v }
sub with_destroy { my $s = Shell->new; undef $s; return }
sub with_auto { Ghost->haunt; return }
sub with_over { my $v = $weight + 1; return $v }
sub with_sort { my @r = sort { sort_leaf(); $a <=> $b } 2, 1; return $r[0] }
sub with_regex { my $ok = 'a' =~ /a(?{ regex_leaf() })/; return $ok }
sub with_signal { local $SIG{USR1} = sub { sig_leaf() }; kill USR1 => $$; return }
sub dive { my $d = shift; my $r = $d == 1 ? dive_leaf() : dive($d - 1); return 1 }
sub with_dive { dive(900); return }
sub round { with_closure(); with_string(); with_block(); with_tie(); with_destroy(); with_auto(); with_over(); with_sort(); with_regex(); with_signal(); with_dive(); return }
$| = 1; print "runs\n"; my $end = time + ($ARGV[0] // 5); round() while time < $end;
