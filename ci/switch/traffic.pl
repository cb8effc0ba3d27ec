# What runs on both sides of the switch, and so within containers, whose base has Perl.
#
#     traffic.pl listen NAME PORT...         answers every connection with NAME and who asked, as HTTP; in the background
#     traffic.pl ask SECONDS QUESTION...     a question is ADDRESS,ping or ADDRESS,PORT,WHAT: the first thing to say, in
#                                            hexadecimal digits. Prints a line for each: `echo`; the last line of what was
#                                            answered; `open` if nothing was; `refused`; or `-` if nobody is there
#     traffic.pl send INTERFACE FRAME...     frames in hexadecimal digits
use strict;
use warnings;
use Errno qw(EAGAIN ECONNREFUSED EINPROGRESS ENOBUFS);
use IO::Select;
use Socket qw(:all);

# Of <linux/if_packet.h>.
use constant AF_PACKET => 17;
# Connections that are tried at the same time.
use constant AT_ONCE => 200;

sub respond {
    my ($name, $link, $place) = @_;
    my ($error, $peer) = getnameinfo($place, NI_NUMERICHOST, NIx_NOSERV);
    die "who asked: $error\n" if $error;
    $peer =~ s/^::ffff://;
    # Whoever says nothing that ends is answered as well.
    my $request = '';
    while ($request !~ /\r\n\r\n/ && IO::Select->new($link)->can_read(2)) {
        sysread($link, $request, 4096, length $request) or last;
    }
    syswrite($link, "HTTP/1.0 200 OK\r\n\r\n$name $peer\n");
}

sub listen_on {
    my ($name, @ports) = @_;
    my $listeners = IO::Select->new;
    $SIG{CHLD} = 'IGNORE';
    for my $port (@ports) {
        socket(my $listener, AF_INET6, SOCK_STREAM, 0) or die "socket: $!\n";
        setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1) or die "port $port: $!\n";
        setsockopt($listener, IPPROTO_IPV6, IPV6_V6ONLY, 0) or die "port $port: $!\n";
        bind($listener, pack_sockaddr_in6($port, IN6ADDR_ANY)) or die "port $port: $!\n";
        listen($listener, 64) or die "port $port: $!\n";
        $listeners->add($listener);
    }
    # Whoever started this goes on when it listens.
    my $child = fork // die "fork: $!\n";
    exit if $child;
    while (1) {
        for my $listener ($listeners->can_read) {
            my $place = accept(my $link, $listener) or next;
            my $child = fork // die "fork: $!\n";
            next if $child;
            respond($name, $link, $place);
            exit;
        }
    }
}

sub connect_to {
    my ($address, $port) = @_;
    my ($error, $place) = getaddrinfo($address, $port, { flags => AI_NUMERICHOST, socktype => SOCK_STREAM });
    die "$address: $error\n" if $error;
    socket(my $link, $place->{family}, SOCK_STREAM | SOCK_NONBLOCK, 0) or die "socket: $!\n";
    return ($link, 0) if connect($link, $place->{addr}) || $! == EINPROGRESS;
    return (undef, $! + 0);
}

# What was heard, in a line.
sub gist {
    my ($text) = @_;
    my @lines = grep { /\S/ } split /\r?\n/, $text;
    return 'open' unless @lines;
    return $lines[0] =~ /^SSH-/ ? $lines[0] : $lines[-1];
}

sub ask {
    my ($seconds, @questions) = @_;
    my (@answers, %pings, %open);
    my @queue;
    for my $number (0 .. $#questions) {
        my ($address, $what) = split /,/, $questions[$number];
        if ($what eq 'ping') {
            # Until one is answered.
            open($pings{$number}, '-|', 'ping', '-nqc1', "-w$seconds", $address) or die "ping: $!\n";
        } else {
            push @queue, $number;
        }
    }
    my $done = sub {
        my ($file, $answer) = @_;
        $answers[delete($open{$file})->{number}] = $answer;
    };
    while (@queue || %open) {
        while (@queue && keys %open < AT_ONCE) {
            my $number = shift @queue;
            my ($address, $port, $what) = split /,/, $questions[$number];
            my ($link, $error) = connect_to($address, $port);
            if ($link) {
                $open{ fileno $link } = { link => $link, number => $number, what => $what, end => time + $seconds };
            } else {
                $answers[$number] = $error == ECONNREFUSED ? 'refused' : '-';
            }
        }
        my ($reading, $writing) = ('', '');
        vec(defined $open{$_}{heard} ? $reading : $writing, $_, 1) = 1 for keys %open;
        select($reading, $writing, undef, 0.5);
        for my $file (keys %open) {
            my $try = $open{$file};
            if (vec($writing, $file, 1)) {
                my $error = unpack 'i', getsockopt($try->{link}, SOL_SOCKET, SO_ERROR);
                if ($error) {
                    $done->($file, $error == ECONNREFUSED ? 'refused' : '-');
                } else {
                    $try->{heard} = '';
                    # Who is there answers, however long that takes where three machines are emulated.
                    $try->{end} = time + 3 * $seconds;
                    syswrite($try->{link}, pack('H*', $try->{what}));
                }
            } elsif (vec($reading, $file, 1)) {
                my $read = sysread($try->{link}, $try->{heard}, 4096, length $try->{heard});
                my $is_over = defined $read ? $read == 0 : $! != EAGAIN;
                $done->($file, gist($try->{heard})) if $is_over || $try->{heard} =~ /^SSH-.*\n/;
            } elsif (time > $try->{end}) {
                $done->($file, defined $try->{heard} ? gist($try->{heard}) : '-');
            }
        }
    }
    for my $number (keys %pings) {
        1 while readline $pings{$number};
        close $pings{$number};
        $answers[$number] = $? == 0 ? 'echo' : '-';
    }
    print "$_\n" for @answers;
}

sub send_frames {
    my ($interface, @frames) = @_;
    open(my $file, '<', "/sys/class/net/$interface/ifindex") or die "$interface: $!\n";
    chomp(my $index = readline $file);
    socket(my $link, AF_PACKET, SOCK_RAW, 0) or die "raw socket: $!\n";
    for my $frame (map { pack 'H*', $_ } @frames) {
        # What the rules of a port refuse, the kernel reports so.
        send($link, $frame, 0, pack('SniSCCa8', AF_PACKET, 0, $index, 0, 0, 6, substr($frame, 0, 6)))
            or $! == ENOBUFS or die "cannot send: $!\n";
    }
}

my %tasks = (listen => \&listen_on, ask => \&ask, send => \&send_frames);
my $task = $tasks{ shift // '' } or die "listen, ask or send?\n";
$task->(@ARGV);
